import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Optimizer } from '../../src/core/types.ts'
import { instantiateApplyKernels } from '../../src/kernels/apply.ts'
import { createArenaMemory } from '../../src/kernels/memories.ts'
import { makeReferenceSteps } from '../../src/kernels/reference/optimizer.ts'
import type { OptimizerKind } from '../../src/optimizers/kind.ts'
import { OPTIMIZER_KINDS } from '../../src/optimizers/kinds.ts'
import { stateInitial, stateLength } from '../../src/optimizers/state-tensors.ts'
import { applyStep } from '../../src/optimizers/step.ts'
import { runsOf } from '../helpers/property-runs.ts'
import { makeApplyArenas } from '../kernels/apply-arenas.ts'
import { PUBLISHED } from './published.ts'

/**
 * The common case is w = [1, 2, 3, 4] with summed gradients [.4, .3, .1, .9], learning rate .1, first step.
 */
const W = [1, 2, 3, 4]
const G = [0.4, 0.3, 0.1, 0.9]

const arena = createArenaMemory(4096)
const numbers = new Float32Array(arena.buffer)
const kernels = instantiateApplyKernels(arena)
const reference = makeReferenceSteps(arena.buffer)

/** Returns a row after one step by the kernels, whose references must give the same. */
const step = (
  optimizer: Optimizer,
  at: { weights?: number[]; gradients?: number[]; step?: number } = {},
): number[] => {
  const weights = at.weights ?? W
  const dim = weights.length
  const [byKernels, byReference] = [kernels, reference].map((steps) => {
    numbers.set(weights, 0)
    numbers.set(at.gradients ?? G, 64)
    numbers.fill(stateInitial(optimizer), 128, 128 + stateLength(optimizer, dim))
    applyStep(steps, optimizer, undefined, {
      weightsAt: 0,
      gradientsAt: 256,
      stateAt: 512,
      rowCount: 1,
      dim,
      step: at.step ?? 1,
    })
    return Array.from(numbers.subarray(0, dim))
  })
  expect(byReference).toEqual(byKernels)
  return byKernels
}

const expectClose = (got: number[], want: number[]) =>
  got.forEach((value, i) => expect(value).toBeCloseTo(want[i], 6))

test('Every kind has an example of its formula', () => {
  expect(PUBLISHED.map(({ kind }) => kind)).toEqual(OPTIMIZER_KINDS.map(({ kind }) => kind))
  for (const { kind, examples } of PUBLISHED)
    for (const { optimizer } of examples) expect(optimizer.kind).toBe(kind)
})

test.each(PUBLISHED.flatMap(({ examples }) => examples))('One step reproduces $name', (example) =>
  expectClose(step(example.optimizer, { step: example.step }), example.row),
)

describe('A constraint on updated rows', () => {
  const still = { kind: 'sgd', learning_rate: 0 } as const
  test('of max_norm shrinks a longer row to the limit and leaves a shorter one as it is', () => {
    expect(
      step({ ...still, constraint: { kind: 'max_norm', value: 1 } }, { weights: [3, 4], gradients: [0, 0] }),
    ).toEqual([Math.fround(0.6), Math.fround(0.8)])
    expect(
      step({ ...still, constraint: { kind: 'max_norm', value: 10 } }, { weights: [3, 4], gradients: [0, 0] }),
    ).toEqual([3, 4])
  })
  test('of unit_norm leaves a zero row finite', () => {
    expect(
      step({ ...still, constraint: { kind: 'unit_norm' } }, { weights: [0, 0], gradients: [0, 0] }),
    ).toEqual([0, 0])
    expect(
      step({ ...still, constraint: { kind: 'unit_norm' } }, { weights: [0, 5], gradients: [0, 0] }),
    ).toEqual([0, 1])
  })
  test('of non_negative replaces negative numbers by zero', () => {
    expect(
      step({ ...still, constraint: { kind: 'non_negative' } }, { weights: [-1, 2], gradients: [0, 0] }),
    ).toEqual([0, 2])
  })
})

test('A summed gradient of zero still takes a step, because decay and moments apply', () => {
  expect(
    step({ kind: 'sgd', learning_rate: 1, weight_decay: 0.5 }, { weights: [2], gradients: [0] }),
  ).toEqual([1])
})

test('A learning rate in the request replaces that of the optimizer', () => {
  numbers.set([1], 0)
  numbers.set([2], 64)
  applyStep(kernels, { kind: 'sgd', learning_rate: 1 }, 0.25, {
    weightsAt: 0,
    gradientsAt: 256,
    stateAt: 512,
    rowCount: 1,
    dim: 1,
    step: 1,
  })
  expect(numbers[0]).toBe(0.5)
})

describe('A step by the kernels equals the step by their references to the bit', () => {
  const arenas = makeApplyArenas(65_536)
  const small = fc.double({ min: 0, max: 1, noNaN: true })
  const shared = {
    learning_rate: small,
    weight_decay: fc.option(small, { nil: undefined }),
    constraint: fc.option(
      fc.oneof(
        fc.record({
          kind: fc.constant('max_norm' as const),
          value: fc.double({ min: 0.01, max: 100, noNaN: true }),
        }),
        fc.record({ kind: fc.constantFrom('unit_norm' as const, 'non_negative' as const) }),
      ),
      { nil: undefined },
    ),
  }
  const below1 = fc.double({ min: 0, max: 0.9999, noNaN: true })

  /** Random parameters of a kind, within the ranges that it declares. */
  const optimizersOf = ({ kind, defaults, ranges }: OptimizerKind): fc.Arbitrary<Optimizer> => {
    const parameters: Record<string, fc.Arbitrary<number | boolean>> = {}
    for (const [name, value] of Object.entries(defaults)) {
      const isBelow1 = ranges[name].exclusiveMaximum === 1
      parameters[name] = typeof value === 'boolean' ? fc.boolean() : isBelow1 ? below1 : small
    }
    return fc
      .tuple(fc.record({ kind: fc.constant(kind), ...shared }), fc.record(parameters))
      .map(([common, own]) => ({ ...common, ...own }))
  }

  test.each(OPTIMIZER_KINDS.map((kind) => [kind.kind, optimizersOf(kind)] as const))(
    'for %s',
    (_kind, optimizer) => {
      const cases = fc.record({
        optimizer,
        learningRate: fc.option(small, { nil: undefined }),
        dim: fc.integer({ min: 1, max: 300 }),
        rowCount: fc.integer({ min: 1, max: 4 }),
        step: fc.integer({ min: 1, max: 1_000_000 }),
        seed: fc.integer(),
      })
      const property = fc.property(cases, ({ optimizer, learningRate, seed, ...sizes }) => {
        arenas.fill(seed, seed % 4 !== 0)
        arenas.copy()
        const rows = { weightsAt: 1024, gradientsAt: 16_384, stateAt: 32_768, ...sizes }
        for (const steps of [arenas.kernels, arenas.reference])
          applyStep(steps, optimizer, learningRate, rows)
        expect(arenas.difference()).toBeNull()
      })
      fc.assert(property, { numRuns: runsOf({ quick: 500, long: 10_000 }) })
    },
    120_000,
  )
})
