import { describe, expect, test } from 'vitest'
import { expectNoViolations } from './expectations.ts'
import { needs, runsLong } from '../skips.ts'
import { REMOVALS, runWithout } from './mutants.ts'
import { runPowerCuts } from './power-cuts.ts'
import { SEED, sizeOf, TIMEOUT_MS } from './sizes.ts'

describe.skipIf(!runsLong('power cuts') || !needs('mounts'))(
  'A machine that loses its power',
  { timeout: TIMEOUT_MS },
  () => {
    test('loses no update of mode disk, and at most a second of updates of mode os', async () => {
      expectNoViolations(await runPowerCuts({ cuts: sizeOf({ quick: 1, ci: 5 }), seed: SEED }))
    })

    test('loses updates when commits are not synced', async () => {
      const { violations } = await runWithout(REMOVALS.sync, (root) =>
        runPowerCuts({ cuts: 3, seed: SEED, root }),
      )
      expect(violations).toContainEqual(expect.stringContaining('lost'))
    })
  },
)
