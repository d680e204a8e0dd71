/** Runs the long form of the reliability tests: `npm run test:reliability`. */
import { parseArgs } from 'node:util'
import { needs } from '../skips.ts'
import { runCrashCycles, runFailpoints } from './crash-cycles.ts'
import { runDamage } from './damage.ts'
import { runDiskErrors } from './disk-errors.ts'
import { runDiskFull } from './disk-full.ts'
import { runHotLookups, runSwaps } from './http-rows.ts'
import { REMOVALS, type Removal, runWithout } from './mutants.ts'
import { runPowerCuts } from './power-cuts.ts'
import { describeFinding, type Finding, toControl, writeReport } from './report.ts'
import { runTornRows } from './torn-rows.ts'
import { WIDE_TABLES } from './workload.ts'

/*
 * The options are [-- --only=D1,D9 --scale=0.1 --seed=1 --report=FILE]. Each test is followed by its negative
 * control, the same test with a guard removed, which must find a violation. The exit code is 1 when a test
 * finds a violation or a control finds none.
 */

interface LongTest {
  id: string
  isPossible?: () => boolean
  run: (scale: (n: number) => number, seed: number) => Promise<Finding>
  control?: { title: string; run: (seed: number) => Promise<Finding> }
}

const without = (
  removal: Removal,
  run: (root: string, seed: number) => Promise<Finding>,
): LongTest['control'] => ({
  title: removal.title,
  run: (seed) => runWithout(removal, (root) => run(root, seed)),
})

/** Large tables and frequent snapshots. */
const SNAPSHOTS = { tables: WIDE_TABLES, snapshotJournalBytes: 4096 }

const TESTS: readonly LongTest[] = [
  {
    id: 'D1',
    run: (scale, seed) => runCrashCycles({ cycles: scale(300), seed }),
    control: without(REMOVALS.commitFirst, (root, seed) => runCrashCycles({ cycles: 10, seed, root })),
  },
  {
    id: 'D1 keys',
    run: (scale, seed) => runCrashCycles({ cycles: scale(20), seed: seed + 1 }),
    control: without(REMOVALS.keys, (root, seed) => runCrashCycles({ cycles: 10, seed, root })),
  },
  { id: 'D2', run: (scale, seed) => runFailpoints({ times: scale(3), seed }) },
  {
    id: 'D4 D5',
    run: (scale, seed) => runDamage({ trials: scale(20_000), seed }),
    control: {
      title: 'damage is not refused',
      run: (seed) => runDamage({ trials: 500, seed, goesBack: true }),
    },
  },
  {
    id: 'D6',
    isPossible: () => needs('mounts'),
    run: (scale, seed) => runDiskFull({ fills: scale(20), seed }),
    control: without(REMOVALS.fullDisk, (root, seed) => runDiskFull({ fills: 1, seed, root })),
  },
  {
    id: 'D7',
    isPossible: () => needs('strace'),
    run: (scale, seed) => runDiskErrors({ times: scale(4), seed }),
    control: without(REMOVALS.latch, (root, seed) =>
      runDiskErrors({ times: 1, seed, calls: ['fsync'], andOn: [''], beside: ['updates'], root }),
    ),
  },
  {
    id: 'D9',
    isPossible: () => needs('mounts'),
    run: (scale, seed) => runPowerCuts({ cuts: scale(100), seed }),
    control: without(REMOVALS.sync, (root, seed) => runPowerCuts({ cuts: 5, seed, root })),
  },
  {
    id: 'D9 os',
    isPossible: () => needs('mounts'),
    run: (scale, seed) => runPowerCuts({ cuts: scale(10), seed: seed + 1, tables: ['in-os'] }),
    control: without(REMOVALS.syncEachSecond, (root, seed) =>
      runPowerCuts({ cuts: 5, seed, root, tables: ['in-os'] }),
    ),
  },
  {
    id: 'D10',
    run: (scale, seed) => runCrashCycles({ cycles: scale(20), seed: seed + 2, ...SNAPSHOTS }),
    control: without(REMOVALS.pruneAtStart, (root, seed) =>
      runCrashCycles({ cycles: 20, seed, root, ...SNAPSHOTS }),
    ),
  },
  {
    id: 'D10 none',
    run: (scale, seed) => runCrashCycles({ cycles: scale(20), seed: seed + 3, ...SNAPSHOTS }),
    control: without(REMOVALS.journalDuringSnapshot, (root, seed) =>
      runCrashCycles({ cycles: 20, seed, root, ...SNAPSHOTS }),
    ),
  },
  {
    id: 'C1',
    run: (scale, seed) => runTornRows({ reads: scale(1e8), seed }),
    control: {
      title: 'no look at the lock',
      run: (seed) => runTornRows({ reads: 4e6, seed, checks: false }),
    },
  },
  {
    id: 'C1 HTTP',
    run: (scale, seed) => runHotLookups({ lookups: scale(10_000), seed }),
    control: without(REMOVALS.rowCheck, (root, seed) =>
      runHotLookups({ lookups: 5_000, seed, root, violationsMax: 1 }),
    ),
  },
  {
    id: 'C6',
    run: (scale, seed) => runSwaps({ swaps: scale(1_000), seed }),
    control: without(REMOVALS.buildAside, (root, seed) => runSwaps({ swaps: 20, seed, root })),
  },
]

const runTest = async ({ id, run, control }: LongTest, scale: number, seed: number): Promise<Finding> => {
  const finding = { ...(await run((n) => Math.max(1, Math.round(n * scale)), seed)), id }
  return control === undefined
    ? finding
    : { ...finding, control: toControl(control.title, await control.run(seed)) }
}

const main = async (): Promise<boolean> => {
  const options = {
    only: { type: 'string' },
    scale: { type: 'string' },
    seed: { type: 'string' },
    report: { type: 'string' },
  } as const
  const {
    only,
    scale = '1',
    seed = String(Date.now() % 2 ** 31),
    report = 'reliability-report.json',
  } = parseArgs({ options }).values
  const ids = only?.split(',')
  const unknown = ids?.find((id) => !TESTS.some((one) => one.id === id))
  if (unknown !== undefined)
    throw new Error(`there is no test ${unknown}; there are ${TESTS.map(({ id }) => id).join(', ')}`)
  const findings: Finding[] = []
  for (const one of TESTS) {
    if (ids !== undefined && !ids.includes(one.id)) continue
    if (one.isPossible !== undefined && !one.isPossible()) continue
    const finding = await runTest(one, Number(scale), Number(seed))
    findings.push(finding)
    process.stdout.write(`${describeFinding(finding)}\n`)
    writeReport(report, findings)
  }
  return findings.every(({ violations, control }) => violations.length === 0 && control?.found !== 0)
}

process.exitCode = (await main()) ? 0 : 1
