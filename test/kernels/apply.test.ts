import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import type { Coefficient, StepKernels, StepRegions } from '../../src/kernels/apply.ts'
import { completeOptimizer } from '../../src/optimizers/complete.ts'
import type { OptimizerKind } from '../../src/optimizers/kind.ts'
import { OPTIMIZER_KINDS } from '../../src/optimizers/kinds.ts'
import { makeApplyArenas } from './apply-arenas.ts'
import { DIMS } from './pair.ts'
import { runsOf } from '../helpers/property-runs.ts'

const arenas = makeApplyArenas(65_536)
const [WEIGHTS_AT, GRADIENTS_AT, STATE_AT] = [1024, 16_384, 32_768]

interface Case {
  rowCount: number
  dim: number
  /** The number of words that all addresses are shifted by. */
  shift: number
  seed: number
  isPlain: boolean
  /** The learning rate or limit, further numbers of the optimizer, and a switch. */
  rate: number
  others: [number, number, number]
  flag: boolean
}

const coefficient = fc.oneof(
  fc.constantFrom(0, 1, 1e-10, 1e-8, 0.01, 0.9, 0.999),
  fc.double({ min: 0, max: 2, noNaN: true }),
)
const cases: fc.Arbitrary<Case> = fc.record({
  rowCount: fc.integer({ min: 0, max: 4 }),
  dim: fc.oneof(fc.constantFrom(...DIMS), fc.integer({ min: 1, max: 300 })),
  shift: fc.nat({ max: 8 }),
  seed: fc.integer(),
  isPlain: fc.boolean(),
  rate: fc.oneof(coefficient, fc.double({ min: 0, max: 1e30, noNaN: true })),
  others: fc.tuple(coefficient, coefficient, coefficient),
  flag: fc.boolean(),
})

const regionsOf = (
  weightsAt: number,
  gradientsAt: number,
  stateAt: number,
  rowCount: number,
  dim: number,
): StepRegions => ({ weightsAt, gradientsAt, stateAt, rowCount, dim })

/** The kernels with the coefficients of a case, which may be any numbers, in place of an optimizer's. */
const withCoefficients = (kernels: StepKernels, { rate, others, flag }: Case): StepKernels => {
  const numbers = [rate, ...others]
  const replace = (coefficients: Coefficient[]) =>
    coefficients.map((given, i) => (typeof given === 'boolean' ? flag : numbers[i % numbers.length]))
  return {
    ...kernels,
    stepNumbers: (name, regions, stateCount, ...given) =>
      kernels.stepNumbers(name, regions, stateCount, ...replace(given)),
    stepRows: (name, regions, stateLength, ...given) =>
      kernels.stepRows(name, regions, stateLength, ...replace(given)),
  }
}

type Run = (
  kernels: StepKernels,
  at: { weights: number; gradients: number; state: number },
  one: Case,
) => boolean | void

/** The step of an optimizer kind, which may call any kernel. */
const stepOf =
  (kind: OptimizerKind): Run =>
  (kernels, { weights, gradients, state }, one) => {
    const rows = { ...regionsOf(weights, gradients, state, one.rowCount, one.dim), step: 1 }
    const optimizer = completeOptimizer({ kind: kind.kind })
    return kind.step(withCoefficients(kernels, one), optimizer, one.rate, rows)
  }

const STEPS: Record<string, Run> = {
  ...Object.fromEntries(OPTIMIZER_KINDS.map((kind) => [`of ${kind.kind}`, stepOf(kind)])),
  addDecay: (kernels, { weights, gradients }, { rowCount, dim, rate }) =>
    kernels.addDecay(weights, gradients, rowCount * dim, rate),
  clampNegative: (kernels, { weights }, { rowCount, dim }) => kernels.clampNegative(weights, rowCount * dim),
  limitNorms: (kernels, { weights }, { rowCount, dim, rate, flag }) =>
    kernels.limitNorms(flag ? 'max' : 'unit', weights, rowCount, dim, rate),
}

describe('An optimizer step', () => {
  test.each(Object.entries(STEPS))(
    '%s equals its reference to the bit, and writes nothing else',
    (_name, run) => {
      const property = fc.property(cases, (one) => {
        arenas.fill(one.seed, one.isPlain)
        const place = (at: number): number => at + one.shift * 4
        const at = { weights: place(WEIGHTS_AT), gradients: place(GRADIENTS_AT), state: place(STATE_AT) }
        // Some rows are zeros, which have no direction.
        if (one.seed % 5 === 0) arenas.numbers.fill(0, at.weights / 4, at.weights / 4 + one.dim)
        arenas.copy()
        expect(run(arenas.kernels, at, one)).toBe(run(arenas.reference, at, one))
        expect(arenas.difference()).toBeNull()
      })
      fc.assert(property, { numRuns: runsOf({ quick: 500, long: 10_000 }) })
    },
    120_000,
  )

  test('reports a new weight or state that is not finite, at any position, and only that', () => {
    for (const count of [1, 3, 4, 15, 16, 17, 64, 67]) {
      for (const bad of [null, Infinity, NaN]) {
        for (let place = 0; place < (bad === null ? 1 : count); place++) {
          arenas.numbers.fill(1, 0, 1024)
          if (bad !== null) arenas.numbers[256 + place] = bad
          const regions = regionsOf(0, 1024, 2048, 1, count)
          const bySgd = arenas.kernels.stepNumbers('stepSgd', regions, 0, 1)
          expect(bySgd, `${bad} at ${place} of ${count}`).toBe(bad === null)
          arenas.numbers.fill(1, 0, 1024)
          if (bad !== null) arenas.numbers[512 + place] = bad
          const byAdagrad = arenas.kernels.stepNumbers('stepAdagrad', regions, 1, 1, 1, false)
          expect(byAdagrad, `${bad} in state`).toBe(bad === null)
        }
      }
    }
  })

  test('clamps negative numbers to zero, and keeps minus zero', () => {
    arenas.numbers.set([-0, -1, 2, -3e-45, NaN], 256)
    arenas.kernels.clampNegative(1024, 5)
    expect([...arenas.numbers.subarray(256, 261)]).toEqual([-0, 0, 2, 0, NaN])
  })

  test('sums the squares of a row in four lanes', () => {
    // Added one by one to 2^24 the ones would be lost; lane 1 sums them before it is added to lane 0.
    const row = Float32Array.from({ length: 64 }, (_, k) => (k === 0 ? 2 ** 12 : k % 4 === 1 ? 1 : 0))
    arenas.numbers.set(row, 256)
    arenas.numbers.fill(0, 4096, 4096 + 65)
    const regions = regionsOf(4096 * 4, 1024, 4160 * 4, 1, 64)
    arenas.kernels.stepRows('stepRowwiseAdagrad', regions, 1, 0, 1, false)
    expect(arenas.numbers[4160]).toBe((2 ** 24 + 16) / 64)
  })

  const limitNorms = (norm: 'max' | 'unit', row: number[], limit: number): number[] => {
    arenas.numbers.set(row, 256)
    arenas.kernels.limitNorms(norm, 1024, 1, row.length, limit)
    return [...arenas.numbers.subarray(256, 256 + row.length)]
  }
  const rounded = (values: number[]): number[] => values.map((value) => Math.fround(value))

  test.each([2 ** 124, 2 ** 66, 2 ** -66, 2 ** -110, 2 ** -149])(
    'scales a row of numbers near %f, whose squares float32 does not hold',
    (unit) => {
      expect(limitNorms('unit', [3 * unit, 4 * unit], 1)).toEqual(rounded([0.6, 0.8]))
      expect(limitNorms('unit', [3 * unit, 4 * unit, -12 * unit], 1)).toEqual(
        rounded([3 / 13, 4 / 13, -12 / 13]),
      )
      const limit = 5 * unit
      expect(limitNorms('max', [3 * unit, 4 * unit], limit)).toEqual([3 * unit, 4 * unit])
      const scaled = limitNorms('max', [6 * unit, 8 * unit], limit)
      expect(scaled).toEqual(rounded([3 * unit, 4 * unit]))
    },
  )

  test('scales a row down to a limit so small that the product with it would underflow', () => {
    expect(limitNorms('max', [3e-10, 4e-10], 1e-36)).toEqual(
      rounded([
        (Math.fround(3e-10) * Math.fround(1e-36)) / Math.hypot(Math.fround(3e-10), Math.fround(4e-10)),
        (Math.fround(4e-10) * Math.fround(1e-36)) / Math.hypot(Math.fround(3e-10), Math.fround(4e-10)),
      ]),
    )
  })

  test('keeps a row of zeros, and makes a row NaN that is not finite', () => {
    expect(limitNorms('unit', [0, -0, 0], 1)).toEqual([0, -0, 0])
    expect(limitNorms('max', [Infinity, 1, 0], 1)).toEqual([NaN, NaN, NaN])
    expect(limitNorms('unit', [NaN, 1, 0], 1)).toEqual([NaN, NaN, NaN])
  })

  test('takes the mean of squares whose sum float32 does not hold', () => {
    arenas.numbers.fill(2 ** 62, 256, 256 + 16)
    arenas.numbers.fill(0, 4096, 4096 + 17)
    const regions = { weightsAt: 4096 * 4, gradientsAt: 1024, stateAt: 4112 * 4, rowCount: 1, dim: 16 }
    expect(arenas.kernels.stepRows('stepRowwiseAdagrad', regions, 1, 1, 0, false)).toBe(true)
    expect(arenas.numbers[4112]).toBe(2 ** 124)
    expect(arenas.numbers[4096]).toBe(-1)
  })
})

test('The kernels assert that their arguments lie in the arena and are aligned', () => {
  const { kernels } = arenas
  const refused = (run: () => void) => expect(run).toThrow(AssertionFailure)
  const stepSgd = (...[weightsAt, gradientsAt, count]: [number, number, number]) =>
    kernels.stepNumbers('stepSgd', regionsOf(weightsAt, gradientsAt, 0, 1, count), 0, 1)
  const stepAdagrad = (...regions: Parameters<typeof regionsOf>) =>
    kernels.stepNumbers('stepAdagrad', regionsOf(...regions), 1, 1, 1, false)
  const stepRowwise = (...regions: Parameters<typeof regionsOf>) =>
    kernels.stepRows('stepRowwiseAdagrad', regionsOf(...regions), 1, 1, 1, false)
  const stepAdam = (...regions: Parameters<typeof regionsOf>) =>
    kernels.stepRows('stepAdam', regionsOf(...regions), 2 * regions[4], 1, 1, 1, 1)
  stepSgd(65_536 - 16, 0, 4)
  refused(() => stepSgd(65_536 - 12, 0, 4))
  refused(() => stepSgd(0, 65_536 - 12, 4))
  refused(() => stepSgd(2, 0, 4))
  refused(() => stepSgd(0, 0, -1))
  refused(() => kernels.addDecay(0, 65_536, 1, 1))
  refused(() => stepAdagrad(0, 0, 65_536 - 12, 1, 4))
  const momentum = regionsOf(0, 0, 65_536 - 12, 1, 4)
  refused(() => kernels.stepNumbers('stepMomentum', momentum, 1, 1, 1, false))
  stepRowwise(0, 0, 65_536 - 4, 1, 1)
  refused(() => stepRowwise(0, 0, 65_536 - 4, 2, 1))
  refused(() => stepRowwise(65_536 - 12, 0, 0, 2, 2))
  refused(() => stepRowwise(0, 0, 0, -1, 2))
  stepAdam(0, 0, 65_536 - 32, 2, 2)
  refused(() => stepAdam(0, 0, 65_536 - 28, 2, 2))
  refused(() => kernels.clampNegative(65_536, 1))
  refused(() => kernels.limitNorms('max', 65_536 - 12, 2, 2, 1))
})

test('A step asserts that its kernel exists and gets all its coefficients', () => {
  const regions = regionsOf(0, 1024, 2048, 1, 4)
  for (const steps of [arenas.kernels, arenas.reference]) {
    steps.stepNumbers('stepMomentum', regions, 1, 1, 1, false)
    expect(() => steps.stepNumbers('stepNothing', regions, 0, 1)).toThrow(AssertionFailure)
    expect(() => steps.stepNumbers('stepMomentum', regions, 1, 1, 1)).toThrow(AssertionFailure)
    expect(() => steps.stepNumbers('stepMomentum', regions, 0, 1, 1, false)).toThrow(AssertionFailure)
    expect(() => steps.stepRows('stepRowwiseAdagrad', regions, 1, 1, 1)).toThrow(AssertionFailure)
  }
})
