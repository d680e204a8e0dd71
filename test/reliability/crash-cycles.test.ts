import { describe, expect, test } from 'vitest'
import { expectNoViolations } from './expectations.ts'
import { REACHED, runCrashCycles, runFailpoints } from './crash-cycles.ts'
import { REMOVALS, runWithout } from './mutants.ts'
import { runsLong } from '../skips.ts'
import { SEED, sizeOf, TIMEOUT_MS } from './sizes.ts'

const isLong = runsLong('cycles of kill -9 and their negative controls')

describe('A process that is killed during its work', { timeout: TIMEOUT_MS }, () => {
  test.skipIf(!isLong)('loses no update, and applies none partly or twice', async () => {
    const finding = await runCrashCycles({ cycles: sizeOf({ quick: 1, ci: 30 }), seed: SEED })
    expectNoViolations(finding)
    expect(finding.counts.answered).toBeGreaterThan(0)
  })

  test.skipIf(!isLong)('loses updates when it answers before the commit', async () => {
    const { violations } = await runWithout(REMOVALS.commitFirst, (root) =>
      runCrashCycles({ cycles: 5, seed: SEED, root }),
    )
    expect(violations).toContainEqual(expect.stringContaining('lost'))
  })

  test.skipIf(!isLong)('applies updates twice when keys are not stored', async () => {
    const { violations } = await runWithout(REMOVALS.keys, (root) =>
      runCrashCycles({ cycles: 5, seed: SEED, root }),
    )
    expect(violations).toContainEqual(expect.stringMatching(/duplicate|phantom/))
  })

  test.skipIf(!isLong)('loses nothing when it is killed at a failpoint', async () => {
    const names = REACHED
    const finding = await runFailpoints({ times: 1, seed: SEED, names })
    expectNoViolations(finding)
    expect(finding.n).toBe(names.length)
  })
})
