/**
 * Makes system calls of the writer fail while it works, and checks that it acknowledges nothing afterwards.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ask, createAsk, readJson } from './asking.ts'
import { checkRecovered, sendOperation, surviveKill } from './checking.ts'
import { checkDegraded } from './disk-full.ts'
import { injectFault } from './fault-injection.ts'
import { makeFolder } from './folders.ts'
import { launchReady } from './launch.ts'
import { type Oracle, place } from './oracle.ts'
import { createRandom, type Random } from './random.ts'
import { type Finding, measure } from './report.ts'
import { createTables, makeOperation, startWorkload } from './workload.ts'

/** SQLite syncs with fsync and writes with pwrite64. Snapshots use these calls, too, and rename. */
const ERROR_CALLS = ['fsync', 'pwrite64', 'rename'] as const

const FAILURE_MS_MAX = 20_000
const BEFORE_MS = 150
const TRIES_AFTER = 12

export interface DiskErrorOptions {
  /** The runs of each case, each with another n: a case fails the n-th call alone, or all from it on. */
  times: number
  seed: number
  root?: string
  calls?: readonly string[]
  /** `''` fails the n-th call alone, `'+'` that call and all after it. */
  andOn?: readonly string[]
  /** The load when the call fails: with updates, or with changes of tables and snapshots alone. */
  beside?: readonly Beside[]
}

type Beside = 'updates' | 'nothing'

/** Runs the workload until an answer says that the disk has failed. */
const workUntilFailure = async (
  ask: Ask,
  oracle: Oracle,
  random: Random,
  beside: Beside,
): Promise<boolean> => {
  let hasFailed = false
  const workload = startWorkload({
    ask,
    oracle,
    random,
    clientCount: beside === 'nothing' ? 0 : undefined,
    onRefusal: (answer) => {
      const { code, detail } = readJson<{ code: string; detail: string }>(answer)
      if (answer.status === 503 && code === 'NOT_READY' && /could not be written: .*(I\/O|EIO)/.test(detail))
        hasFailed = true
      else oracle.violations.push(`after a failed write: ${answer.status} ${answer.body.toString()}`)
      // The disk may hold this update or not.
      return false
    },
  })
  const endsAtMs = performance.now() + FAILURE_MS_MAX
  while (!hasFailed && performance.now() < endsAtMs) await sleep(2)
  await workload.stop()
  return hasFailed
}

/**
 * Checks that no update is acknowledged any more, even if the disk works again. An update that is refused now
 * was never begun.
 */
const checkRefusals = async (ask: Ask, oracle: Oracle, random: Random): Promise<void> => {
  for (let i = 0; i < TRIES_AFTER; i++) {
    const operation = makeOperation(random, random.pick(oracle.tables))
    const answer = await sendOperation(ask, operation)
    if (answer?.status === 503) continue
    oracle.violations.push(`answered after a failed write: ${answer?.status} ${answer?.body.toString()}`)
    if (answer?.status === 200) place(oracle, operation, readJson(answer))
  }
  const { name, current } = oracle.tables[0]
  const others = [
    await ask('POST', '/v1/snapshots'),
    await ask('POST', `/v1/tables/${name}/rollback`, { body: { version: current } }),
  ]
  for (const answer of others) {
    // A snapshot without anything to write cannot fail.
    if (answer?.status === 503 || answer?.body.toString() === '{"snapshots":[]}') continue
    oracle.violations.push(`answered after a failed write: ${answer?.status} ${answer?.body.toString()}`)
  }
}

const failOnce = async (
  rule: string,
  beside: Beside,
  random: Random,
  root: string | undefined,
): Promise<{ hasFailed: boolean; oracle: Oracle }> => {
  const folder = makeFolder()
  const launchOptions = { dataDir: folder.path, root }
  let running = await launchReady(launchOptions)
  try {
    let ask = createAsk(running.url)
    const oracle = await createTables(ask)
    const before = startWorkload({ ask, oracle, random, updatesOnly: true })
    await sleep(BEFORE_MS)
    await before.stop()
    const fault = await injectFault(running.child.pid ?? 0, rule)
    let hasFailed: boolean
    try {
      hasFailed = await workUntilFailure(ask, oracle, random, beside)
      if (hasFailed) {
        await checkRefusals(ask, oracle, random)
        await checkDegraded(ask, oracle, /could not be written/)
      }
    } finally {
      await fault.end()
    }
    ask.close()
    await running.kill()
    running = await launchReady(launchOptions)
    ask = createAsk(running.url)
    await checkRecovered(oracle, ask, surviveKill)
    ask.close()
    return { hasFailed, oracle }
  } finally {
    await running.kill()
    folder.remove()
  }
}

/**
 * D7 makes a write, sync or rename fail, once or from then on. No update may be acknowledged after that until
 * a restart, and nothing may be lost.
 */
export const runDiskErrors = ({
  times,
  seed,
  root,
  calls = ERROR_CALLS,
  andOn = ['', '+'],
  beside = ['updates', 'nothing'],
}: DiskErrorOptions): Promise<Finding> =>
  measure({ id: 'D7', title: 'errors of the disk', seed }, async () => {
    const random = createRandom(seed)
    const violations: string[] = []
    const counts: Record<string, number> = {}
    let n = 0
    const cases = calls.flatMap((call) =>
      andOn.flatMap((suffix) => beside.map((what) => ({ call, suffix, what }))),
    )
    for (const { call, suffix, what } of cases) {
      for (let time = 0; time < times; time++) {
        const rule = `${call}:error=EIO:when=${time === 0 ? 1 : 1 + random.below(8)}${suffix}`
        const { hasFailed, oracle } = await failOnce(rule, what, random, root)
        n++
        counts[call] = (counts[call] ?? 0) + Number(hasFailed)
        if (!hasFailed) violations.push(`${rule} beside ${what}: nothing has failed`)
        violations.push(...oracle.violations.map((violation) => `${rule} beside ${what}: ${violation}`))
      }
    }
    return { n, violations, counts }
  })
