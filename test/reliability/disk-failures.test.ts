import { describe, expect, test } from 'vitest'
import { expectNoViolations } from './expectations.ts'
import { needs, runsLong } from '../skips.ts'
import { runDiskErrors } from './disk-errors.ts'
import { runDiskFull } from './disk-full.ts'
import { REMOVALS, runWithout } from './mutants.ts'
import { SEED, sizeOf, TIMEOUT_MS } from './sizes.ts'

const isLong = runsLong('full and failing disks')

describe.skipIf(!isLong || !needs('mounts'))('A disk that is full', { timeout: TIMEOUT_MS }, () => {
  test('stops updates with 507 but not lookups, and loses nothing when there is space again', async () => {
    expectNoViolations(await runDiskFull({ fills: sizeOf({ quick: 1, ci: 5 }), seed: SEED }))
  })

  test('causes violations when it is handled as any other failure', async () => {
    const { violations } = await runWithout(REMOVALS.fullDisk, (root) =>
      runDiskFull({ fills: 1, seed: SEED, root }),
    )
    expect(violations).not.toEqual([])
  })
})

describe.skipIf(!isLong || !needs('strace'))('A disk that fails', { timeout: TIMEOUT_MS }, () => {
  test('stops acknowledgements of updates until a restart while lookups continue, and loses nothing', async () => {
    expectNoViolations(await runDiskErrors({ times: sizeOf({ quick: 1, ci: 2 }), seed: SEED }))
  })

  test('causes violations when the failure is not remembered', async () => {
    const { violations } = await runWithout(REMOVALS.latch, (root) =>
      runDiskErrors({ times: 1, seed: SEED, calls: ['fsync'], andOn: [''], beside: ['updates'], root }),
    )
    expect(violations).toContainEqual(expect.stringContaining('answered after a failed write: 200'))
  })
})
