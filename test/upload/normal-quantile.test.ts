import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { logarithm, normalQuantile } from '../../src/upload/normal-quantile.ts'

describe('The normal quantile', () => {
  // The expected numbers are those of statistics.NormalDist().inv_cdf in Python 3.11.
  test.each([
    [1.1641532182693481e-10, -6.337957754553789],
    [1e-9, -5.9978070150076865],
    [0.0001, -3.71901648545568],
    [0.01, -2.3263478740408408],
    [0.07, -1.4757910281791702],
    [0.0749999, -1.4395321773759004],
    [0.075, -1.4395314709384557],
    [0.0750001, -1.4395307645017297],
    [0.3, -0.5244005127080407],
    [0.5, 0.0],
    [0.7, 0.5244005127080407],
    [0.925, 1.439531470938456],
    [0.93, 1.4757910281791708],
    [0.99999, 4.26489079392384],
    [0.9999999998835847, 6.337957754553789],
  ])('of %d is as in Python', (p, wanted) => {
    expect(Math.abs(normalQuantile(p) - wanted)).toBeLessThanOrEqual(4 * Number.EPSILON * Math.abs(wanted))
  })

  test('is antisymmetric around one half, and increases', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 32 - 1 }), (word) => {
        const p = word / 2 ** 33
        expect(normalQuantile(1 - p)).toBe(-normalQuantile(p))
        expect(normalQuantile(p)).toBeLessThan(normalQuantile(p + 2 ** -25))
      }),
    )
  })
})

test('The logarithm is exact to two units in the last place', () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => {
      expect(Math.abs(logarithm(x) - Math.log(x))).toBeLessThanOrEqual(
        2 * Number.EPSILON * Math.abs(Math.log(x)),
      )
    }),
    { numRuns: 2000 },
  )
  expect(logarithm(1)).toBe(0)
})
