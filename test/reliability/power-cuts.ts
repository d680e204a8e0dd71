/** Copies the disk in the middle of the work, as a power cut leaves it, and starts from the copy. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createAsk } from './asking.ts'
import { checkRecovered, type MustSurvive } from './checking.ts'
import { type CuttableDisk, makeCuttableDisk } from './disk-images.ts'
import { launchReady } from './launch.ts'
import type { Oracle } from './oracle.ts'
import { createRandom, type Random } from './random.ts'
import { type Finding, measure } from './report.ts'
import { createTables, startWorkload } from './workload.ts'

const ALIVE_MS_MIN = 100
const ALIVE_MS_MAX = 600
const VIOLATIONS_MAX = 20
const MANY_SNAPSHOTS = { GATHERD_SNAPSHOT_JOURNAL_BYTES: '65536' }
/** Mode `os` is synced once a second. A busy machine syncs later, and answers later. */
const UNSYNCED_MS_MAX = 1_000
const LATE_MS_MAX = 1_500

export interface PowerCutOptions {
  cuts: number
  seed: number
  /** The root of a copy of the source with a guard removed. */
  root?: string
  /** The names of the tables to change. The default is all tables. */
  tables?: readonly string[]
  onCut?: (cut: number, violations: readonly string[]) => void
}

interface Cut {
  image: string
  /**
   * The oracle at the start of the cut. Later updates are unanswered in it, because they may be on the disk.
   */
  oracle: Oracle
  atMs: number
}

/** Selects the updates that survive a power cut at `atMs`. */
const survivePowerCut =
  (atMs: number): MustSurvive =>
  ({ durability, answeredAtMs }) =>
    durability === 'disk' || (durability === 'os' && answeredAtMs < atMs - UNSYNCED_MS_MAX - LATE_MS_MAX)

const listKeys = ({ tables }: Oracle): Set<string> =>
  new Set(
    tables.flatMap(({ versions }) =>
      [...versions.values()].flatMap(({ bySequence }) => [...bySequence.values()].map(({ key }) => key)),
    ),
  )

/**
 * Runs the workload for a while and cuts the disk during it. Updates continue while the disk is copied, but
 * no new change of a table begins.
 */
const workAndCut = async (
  url: string,
  oracle: Oracle,
  disk: CuttableDisk,
  work: { random: Random; tables: readonly string[] | undefined },
): Promise<Cut> => {
  const ask = createAsk(url)
  const { random, tables } = work
  // Changes of tables and snapshots sync everything. Without them only the sync of each second does.
  const workload = startWorkload({ ask, oracle, random, tables, updatesOnly: tables !== undefined })
  await sleep(ALIVE_MS_MIN + random.below(ALIVE_MS_MAX - ALIVE_MS_MIN))
  workload.pause()
  const known = structuredClone(oracle)
  const atMs = performance.now()
  const image = await disk.cut()
  await workload.stop()
  ask.close()
  // Later updates are found by their keys, even if their version is removed by now, because it existed when
  // the disk was cut.
  const before = listKeys(known)
  known.unanswered.push(...workload.sent.filter(({ key }) => !before.has(key)))
  return { image, oracle: known, atMs }
}

/** Starts from the state of a cut and compares its data. */
const checkCut = async (
  disk: CuttableDisk,
  { image, oracle, atMs }: Cut,
  root: string | undefined,
): Promise<{ lostMs: number }> => {
  const mounted = disk.mountCut(image)
  try {
    const running = await launchReady({ dataDir: join(mounted.directory, 'data'), root })
    try {
      const ask = createAsk(running.url)
      const { oldestLostAtMs } = await checkRecovered(oracle, ask, survivePowerCut(atMs))
      ask.close()
      return { lostMs: oldestLostAtMs === null ? 0 : Math.round(atMs - oldestLostAtMs) }
    } finally {
      await running.kill()
    }
  } catch (error) {
    oracle.violations.push(`lost: ${error instanceof Error ? error.message : String(error)}`)
    return { lostMs: 0 }
  } finally {
    mounted.unmount()
  }
}

/**
 * D9 copies the disk at a moment in the middle of the work, starts from the copy, and compares as after
 * kill -9.
 */
export const runPowerCuts = ({ cuts, seed, root, tables, onCut }: PowerCutOptions): Promise<Finding> =>
  measure({ id: 'D9', title: 'power cut', seed }, async () => {
    const random = createRandom(seed)
    const disk = makeCuttableDisk()
    const counts = { 'answers known at the cut': 0, 'oldest lost answer of mode os, ms': 0 }
    const violations: string[] = []
    try {
      const running = await launchReady({
        dataDir: join(disk.directory, 'data'),
        root,
        environment: tables === undefined ? MANY_SNAPSHOTS : {},
      })
      try {
        const ask = createAsk(running.url)
        const oracle = await createTables(ask)
        ask.close()
        disk.sync()
        let cut = 0
        for (; cut < cuts && violations.length < VIOLATIONS_MAX; cut++) {
          const made = await workAndCut(running.url, oracle, disk, { random, tables })
          counts['answers known at the cut'] += listKeys(made.oracle).size
          const { lostMs } = await checkCut(disk, made, root)
          violations.push(...made.oracle.violations.map((violation) => `cut ${cut}: ${violation}`))
          counts['oldest lost answer of mode os, ms'] = Math.max(
            counts['oldest lost answer of mode os, ms'],
            lostMs,
          )
          onCut?.(cut, violations)
        }
        violations.push(...oracle.violations)
        return { n: cut, violations, counts }
      } finally {
        await running.kill()
      }
    } finally {
      disk.remove()
    }
  })
