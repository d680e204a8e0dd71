/** Kills a working process at random moments or at failpoints, starts it again and compares its data. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FAILPOINTS } from '../../src/storage/failpoints.ts'
import { makeFolder } from './folders.ts'
import { createAsk } from './asking.ts'
import { checkRecovered, surviveKill } from './checking.ts'
import { launch, type Launched, launchReady, type LaunchOptions } from './launch.ts'
import type { NewTable, Oracle } from './oracle.ts'
import { createRandom, type Random } from './random.ts'
import { type Finding, measure } from './report.ts'
import { createTables, startWorkload } from './workload.ts'

const ALIVE_MS_MIN = 50
const ALIVE_MS_MAX = 600
/** A run ends after this many violations. */
const VIOLATIONS_MAX = 20
/** A small limit, so that automatic snapshots are written, too. */
const SNAPSHOT_JOURNAL_BYTES = 64 * 1024

const snapshotSettings = (journalBytes = SNAPSHOT_JOURNAL_BYTES) => ({
  GATHERD_SNAPSHOT_JOURNAL_BYTES: String(journalBytes),
})

export interface CrashOptions {
  cycles: number
  seed: number
  /** The root of a copy of the source with a guard removed. */
  root?: string
  tables?: readonly NewTable[]
  /** A version whose journal exceeds this size gets a snapshot. */
  snapshotJournalBytes?: number
  onCycle?: (cycle: number, oracle: Oracle) => void
}

interface Life {
  launchOptions: LaunchOptions
  random: Random
  counts: Record<string, number>
}

/** Runs the workload until `end` has ended the process. */
const work = async (
  { random, counts }: Life,
  oracle: Oracle,
  running: Launched,
  end: () => Promise<void>,
): Promise<void> => {
  const ask = createAsk(running.url)
  const workload = startWorkload({ ask, oracle, random })
  await end()
  await workload.stop()
  ask.close()
  counts.answered += workload.answeredCount()
  counts.unanswered += oracle.unanswered.length
}

const check = async (oracle: Oracle, { url }: Launched): Promise<void> => {
  const ask = createAsk(url)
  await checkRecovered(oracle, ask, surviveKill)
  ask.close()
}

/** Starts the process again and compares its data. A failed start counts as a loss of everything. */
const restart = async ({ launchOptions }: Life, oracle: Oracle): Promise<Launched | null> => {
  try {
    const running = await launchReady(launchOptions)
    await check(oracle, running)
    return running
  } catch (error) {
    oracle.violations.push(`lost: ${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

/**
 * D1 runs updates, replacements, rollbacks, changes of mode and snapshots, and kills the process at a random
 * moment. It then starts the process again, compares its data, and sends unanswered updates again.
 */
export const runCrashCycles = ({
  cycles,
  seed,
  root,
  tables,
  snapshotJournalBytes,
  onCycle,
}: CrashOptions): Promise<Finding> =>
  measure({ id: 'D1', title: 'kill -9', seed }, async () => {
    const folder = makeFolder()
    const random = createRandom(seed)
    const counts = { answered: 0, unanswered: 0 }
    const launchOptions = { dataDir: folder.path, root, environment: snapshotSettings(snapshotJournalBytes) }
    const life = { launchOptions, random, counts }
    let running: Launched | null = await launchReady(launchOptions)
    try {
      const ask = createAsk(running.url)
      const oracle = await createTables(ask, tables)
      ask.close()
      let cycle = 0
      for (; cycle < cycles && running !== null && oracle.violations.length < VIOLATIONS_MAX; cycle++) {
        const { kill } = running
        await work(life, oracle, running, async () => {
          await sleep(ALIVE_MS_MIN + random.below(ALIVE_MS_MAX - ALIVE_MS_MIN))
          await kill()
        })
        running = await restart(life, oracle)
        onCycle?.(cycle, oracle)
      }
      return { n: cycle, violations: oracle.violations, counts }
    } finally {
      await running?.kill()
      folder.remove()
    }
  })

/**
 * The failpoints that this workload passes. The others are passed only when recovery goes back before damage;
 * test/storage/failpoints.test.ts has those.
 */
export const REACHED: readonly string[] = FAILPOINTS.filter((name) => !name.startsWith('discard:'))

const LIFE_MS_MAX = 15_000

/** D2 runs the same workload while the process kills itself at a failpoint, `times` at each. */
export const runFailpoints = ({
  times,
  seed,
  names = REACHED,
}: {
  times: number
  seed: number
  names?: readonly string[]
}): Promise<Finding> =>
  measure({ id: 'D2', title: 'kill at a named place', seed }, async () => {
    const random = createRandom(seed)
    const counts: Record<string, number> = { answered: 0, unanswered: 0, passed: 0, 'not passed': 0 }
    const violations: string[] = []
    for (const name of names) {
      for (let time = 0; time < times; time++) {
        const { died, oracle } = await dieAt(name, random, counts)
        counts[died ? 'passed' : 'not passed']++
        if (!died) violations.push(`${name} was never passed`)
        violations.push(...oracle.violations.map((violation) => `${name}: ${violation}`))
      }
    }
    return { n: counts.passed, violations, counts }
  })

const dieAt = async (
  name: string,
  random: Random,
  counts: Record<string, number>,
): Promise<{ died: boolean; oracle: Oracle }> => {
  const folder = makeFolder()
  const environment = snapshotSettings()
  const launchOptions = { dataDir: folder.path, environment }
  let died = false
  let running: Launched | null = null
  try {
    if (name === 'store:created') {
      const first = launch({ dataDir: folder.path, environment: { ...environment, GATHERD_FAILPOINT: name } })
      died = (await first.exited) === 'SIGKILL'
    }
    running = await launchReady(launchOptions)
    const ask = createAsk(running.url)
    const oracle = await createTables(ask)
    ask.close()
    const life = { launchOptions, random, counts }
    const { kill } = running
    await work(life, oracle, running, async () => {
      await sleep(ALIVE_MS_MIN)
      await kill()
    })
    // The first crash leaves a file that the next start removes.
    if (name === 'sweep:removed') await workUntilDeath(life, oracle, 'snapshot:directory-synced')
    if (!died) died = await workUntilDeath(life, oracle, name)
    running = await launchReady(launchOptions)
    await check(oracle, running)
    return { died, oracle }
  } finally {
    await running?.kill()
    folder.remove()
  }
}

/** Starts with the failpoint armed, and runs the workload until the process reaches it. */
const workUntilDeath = async (life: Life, oracle: Oracle, name: string): Promise<boolean> => {
  const { dataDir, environment } = life.launchOptions
  const armed = launch({ dataDir, environment: { ...environment, GATHERD_FAILPOINT: name } })
  try {
    const url = await armed.ready.catch(() => null)
    if (url === null) return (await armed.exited) === 'SIGKILL'
    await check(oracle, { ...armed, url }).catch(() => {})
    await work(life, oracle, { ...armed, url }, async () => {
      if (name === 'drain:begun') armed.child.kill('SIGTERM')
      await Promise.race([armed.exited, sleep(LIFE_MS_MAX, undefined, { ref: false })])
    })
    return armed.child.signalCode === 'SIGKILL'
  } finally {
    await armed.kill()
  }
}
