import { describe, expect, test } from 'vitest'
import { expectNoViolations } from './expectations.ts'
import { runDamage } from './damage.ts'
import { runsLong } from '../skips.ts'
import { SEED, sizeOf, TIMEOUT_MS } from './sizes.ts'

describe.skipIf(!runsLong('damage of a data directory'))(
  'A damaged data directory',
  { timeout: TIMEOUT_MS },
  () => {
    test('is refused with an error code, or has the same contents', async () => {
      const finding = await runDamage({ trials: sizeOf({ quick: 200, ci: 2_000 }), seed: SEED })
      expectNoViolations(finding)
      expect(finding.counts.same).toBeGreaterThan(0)
      expect(finding.counts.DamagedLog).toBeGreaterThan(0)
    })

    test('has lost updates when damage is not refused', async () => {
      const { violations } = await runDamage({ trials: 150, seed: SEED, goesBack: true })
      expect(violations).toContainEqual(expect.stringContaining('lost'))
    })
  },
)
