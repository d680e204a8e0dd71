/** Fills a small file system while updates run, frees it, and checks that nothing was lost. */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Ask, createAsk, readJson } from './asking.ts'
import { checkRecovered, sendOperation, surviveKill } from './checking.ts'
import { mountMemory } from './disk-images.ts'
import { launchReady } from './launch.ts'
import { place, type Oracle } from './oracle.ts'
import { createRandom, type Random } from './random.ts'
import { type Finding, measure } from './report.ts'
import { createTables, makeOperation, startWorkload } from './workload.ts'

const DISK_BYTES = 8 * 1024 * 1024
const FULL_MS_MAX = 20_000
const BACK_MS_MAX = 10_000
const DEGRADED_MS_MAX = 2_000

export interface DiskFullOptions {
  fills: number
  seed: number
  root?: string
}

/** Writes a file until there is no space left, and returns its path. */
export const fillDisk = (directory: string): string => {
  const path = join(directory, 'filler')
  const descriptor = openSync(path, 'w')
  const block = Buffer.alloc(4096)
  try {
    while (writeSync(descriptor, block) > 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(descriptor)
  }
  return path
}

const codeOf = (answer: Answer): string => readJson<{ code?: string }>(answer).code ?? ''

/**
 * Checks that lookups succeed while updates are refused, and that the readiness states the cause within
 * `patienceMs`.
 */
export const checkDegraded = async (
  ask: Ask,
  oracle: Oracle,
  cause: RegExp,
  patienceMs = 0,
): Promise<void> => {
  const endsAtMs = performance.now() + patienceMs
  const lookup = await ask('POST', `/v1/tables/${oracle.tables[0].name}/lookup`, { body: { indices: [0] } })
  if (lookup?.status !== 200) oracle.violations.push(`lookups do not go on: ${lookup?.status}`)
  for (;;) {
    const readiness = await ask('GET', '/readyz')
    const { status, reason } =
      readiness === null ? {} : readJson<{ status?: string; reason?: string }>(readiness)
    if (readiness?.status === 200 && status === 'degraded' && cause.test(reason ?? '')) return
    if (performance.now() >= endsAtMs) {
      oracle.violations.push(`the readiness is ${readiness?.status} ${status} (${reason})`)
      return
    }
    await sleep(5)
  }
}

/** Sends updates until the disk is full. */
const workUntilFull = async (ask: Ask, oracle: Oracle, random: Random): Promise<void> => {
  let isFull = false
  const workload = startWorkload({
    ask,
    oracle,
    random,
    updatesOnly: true,
    onRefusal: (answer) => {
      if (answer.status === 507 && codeOf(answer) === 'DISK_FULL') isFull = true
      else oracle.violations.push(`on a full disk: ${answer.status} ${answer.body.toString()}`)
      return true
    },
  })
  const endsAtMs = performance.now() + FULL_MS_MAX
  while (!isFull && performance.now() < endsAtMs) await sleep(20)
  if (!isFull) oracle.violations.push('updates go on although the disk is full')
  // A small update may fit after a larger one did not, and then the service is ready until the next refusal.
  else await checkDegraded(ask, oracle, /full/, DEGRADED_MS_MAX)
  await workload.stop()
}

/** Sends updates until one succeeds. Returns how long that took. */
const waitUntilBack = async (ask: Ask, oracle: Oracle, random: Random): Promise<number> => {
  const startMs = performance.now()
  for (;;) {
    const operation = makeOperation(random, random.pick(oracle.tables))
    const answer = await sendOperation(ask, operation)
    const readiness = await ask('GET', '/readyz')
    const backMs = performance.now() - startMs
    if (answer?.status === 200) {
      place(oracle, operation, readJson(answer))
      if (readiness !== null && readJson<{ status: string }>(readiness).status === 'ready') return backMs
    }
    if (backMs > BACK_MS_MAX) {
      oracle.violations.push(
        `there is space again, and an update is answered ${answer?.status}, the readiness ${readiness?.body.toString()}`,
      )
      return backMs
    }
    await sleep(20)
  }
}

/**
 * D6 fills a small file system while updates run and frees it again. It then kills the process, starts it and
 * compares its data.
 */
export const runDiskFull = ({ fills, seed, root }: DiskFullOptions): Promise<Finding> =>
  measure({ id: 'D6', title: 'disk full', seed }, async () => {
    const random = createRandom(seed)
    const mounted = mountMemory(DISK_BYTES)
    const launchOptions = {
      dataDir: join(mounted.directory, 'data'),
      root,
      environment: { GATHERD_SNAPSHOT_JOURNAL_BYTES: '65536' },
    }
    let backMsMax = 0
    let running = await launchReady(launchOptions)
    try {
      let ask = createAsk(running.url)
      const oracle = await createTables(ask)
      for (let fill = 0; fill < fills; fill++) {
        const filler = fillDisk(mounted.directory)
        await workUntilFull(ask, oracle, random)
        rmSync(filler)
        backMsMax = Math.max(backMsMax, await waitUntilBack(ask, oracle, random))
        await running.kill()
        ask.close()
        running = await launchReady(launchOptions)
        ask = createAsk(running.url)
        await checkRecovered(oracle, ask, surviveKill)
      }
      ask.close()
      return {
        n: fills,
        violations: oracle.violations,
        counts: { 'back after at most, ms': Math.round(backMsMax) },
      }
    } finally {
      await running.kill()
      mounted.unmount()
    }
  })
