import { describe, expect, test } from 'vitest'
import { expectNoViolations } from './expectations.ts'
import { runHotLookups, runSwaps } from './http-rows.ts'
import { REMOVALS, runWithout } from './mutants.ts'
import { runsLong } from '../skips.ts'
import { SEED, sizeOf, TIMEOUT_MS } from './sizes.ts'
import { runTornRows } from './torn-rows.ts'

const isLong = runsLong('lookups over HTTP while rows and versions change')

describe('While rows change', { timeout: TIMEOUT_MS }, () => {
  test('no reader gets a part of an update', async () => {
    expectNoViolations(await runTornRows({ reads: sizeOf({ quick: 4e5, ci: 1e7 }), seed: SEED }))
  })

  test('readers that do not check the lock get torn rows', async () => {
    expect((await runTornRows({ reads: 4e5, seed: SEED, checks: false })).violations).not.toEqual([])
  })

  test.skipIf(!isLong)(
    'no lookup over HTTP gets a part of an update, or rows older than its sequence',
    async () => {
      expectNoViolations(await runHotLookups({ lookups: sizeOf({ quick: 100, ci: 2_000 }), seed: SEED }))
    },
  )
})

describe.skipIf(!isLong)('While a table is replaced repeatedly', { timeout: TIMEOUT_MS }, () => {
  test('every answer has rows of one version, and old versions are freed', async () => {
    expectNoViolations(await runSwaps({ swaps: sizeOf({ quick: 20, ci: 200 }), seed: SEED }))
  })

  test('answers mix versions when a new version is built in place', async () => {
    const { violations } = await runWithout(REMOVALS.buildAside, (root) =>
      runSwaps({ swaps: 20, seed: SEED, root }),
    )
    expect(violations).toContainEqual(expect.stringMatching(/in an answer of version/))
  })
})
