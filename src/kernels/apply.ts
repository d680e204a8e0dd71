/** The kernels of optimizer steps and constraints. */
import { assert } from '../core/assert.ts'
import { assertCount, makeBounds } from './bounds.ts'
import { NORM_CODES } from './codes.ts'
import { instantiateModule } from './compiled-modules.ts'

/** The norm constraint: `max` changes rows above the limit, `unit` all rows that differ from it. */
export type Norm = keyof typeof NORM_CODES

/** The rows that take a step. Addresses are bytes of the arena, multiples of 4. */
export interface StepRegions {
  /** The weights: rowCount x dim float32. */
  weightsAt: number
  /** The gradients: rowCount x dim float32. */
  gradientsAt: number
  /** The state, packed: as many float32 as the kernel keeps for each number or row. */
  stateAt: number
  rowCount: number
  dim: number
}

/** What a step kernel takes after the regions. Numbers are rounded to float32. */
export type Coefficient = number | boolean

/**
 * Optimizer steps on float32 rows packed in an arena, whose results replace their inputs. Arguments that end
 * in `At` are byte addresses of the arena, multiples of 4; coefficients are rounded to float32. Every
 * operation rounds to float32 and none is fused; the bits of a NaN depend on the processor. Regions do not
 * overlap. The kernels allocate nothing and write only the regions named. Arguments are asserted in O(1).
 *
 * The step of an optimizer kind is called by its name, an export of `wasm/apply*.as.ts`, where its formula
 * stands. It returns true if every weight and all state that it wrote are finite.
 */
export interface StepKernels {
  /** Adds weight decay: g += decay * w. */
  addDecay(weightsAt: number, gradientsAt: number, count: number, decay: number): void
  /**
   * Takes a step that treats every number alone, with `stateCount` (0 or 1) numbers of state for each. The
   * kernel is called with the addresses of weights, gradients and state (none for 0), the count of numbers,
   * and the coefficients.
   */
  stepNumbers(name: string, regions: StepRegions, stateCount: 0 | 1, ...coefficients: Coefficient[]): boolean
  /**
   * Takes a step that depends on where rows begin, with `stateLength` numbers of state for each row. The
   * kernel is called with the addresses of weights, gradients and state, rowCount, dim, and the coefficients.
   */
  stepRows(name: string, regions: StepRegions, stateLength: number, ...coefficients: Coefficient[]): boolean
  /** Sets numbers below zero to zero. */
  clampNegative(weightsAt: number, count: number): void
  /**
   * Scales rows whose Euclidean length is above `limit` (max) or differs from it (unit): w = (w * limit) /
   * length. Rows of length zero are left unchanged; a row that is not finite becomes NaN. Squares are summed
   * in four lanes: lane j adds up the columns j, j+4, j+8, .. in ascending order, and the sum is (lane 0 +
   * lane 2) + (lane 1 + lane 3). A sum that is infinite or below SAFE_LENGTH_MIN squared is taken again in
   * float64; the row is then scaled in float64 and rounded once, as it is for a limit below SAFE_LENGTH_MIN.
   */
  limitNorms(norm: Norm, weightsAt: number, rowCount: number, dim: number, limit: number): void
}

/** A function of `wasm/apply*.as.ts`, or its reference. A step returns nonzero if a number is not finite. */
type Kernel = (...values: number[]) => number | boolean | void
/** The kernels by their names. */
export type StepExports = Readonly<Record<string, Kernel>>

/** Asserts that `count` numbers from each of these addresses on lie within the arena. */
type CheckRegions = (count: number, ...addresses: number[]) => void

const makeCheck = (arenaBytes: number): CheckRegions => {
  const bounds = makeBounds(0, arenaBytes)
  return (count, ...addresses) => {
    assertCount(count)
    for (const at of addresses) {
      assert(at % 4 === 0, 'numbers are aligned')
      bounds.region(at, count * 4)
    }
  }
}

/** Creates the typed entries of the kernels `exports`, which work on an arena of this size. */
export const makeStepKernels = (exports: StepExports, arenaBytes: number): StepKernels => {
  const check = makeCheck(arenaBytes)
  const takeStep = (name: string, places: number[], coefficients: Coefficient[]): boolean => {
    const kernel = exports[name]
    assert(kernel !== undefined, 'the kernel of a step is exported by wasm/apply*.as.ts')
    assert(kernel.length === places.length + coefficients.length, 'a kernel gets all its arguments')
    return !kernel(...places, ...coefficients.map(Number))
  }
  return {
    addDecay(weightsAt, gradientsAt, count, decay) {
      check(count, weightsAt, gradientsAt)
      exports.addDecay(weightsAt, gradientsAt, count, decay)
    },
    stepNumbers(name, { weightsAt, gradientsAt, stateAt, rowCount, dim }, stateCount, ...coefficients) {
      const addresses = stateCount === 0 ? [weightsAt, gradientsAt] : [weightsAt, gradientsAt, stateAt]
      check(rowCount * dim, ...addresses)
      return takeStep(name, [...addresses, rowCount * dim], coefficients)
    },
    stepRows(name, { weightsAt, gradientsAt, stateAt, rowCount, dim }, stateLength, ...coefficients) {
      assertCount(rowCount)
      assertCount(dim)
      check(rowCount * dim, weightsAt, gradientsAt)
      check(rowCount * stateLength, stateAt)
      return takeStep(name, [weightsAt, gradientsAt, stateAt, rowCount, dim], coefficients)
    },
    clampNegative(weightsAt, count) {
      check(count, weightsAt)
      exports.clampNegative(weightsAt, count)
    },
    limitNorms(norm, weightsAt, rowCount, dim, limit) {
      assertCount(rowCount)
      assertCount(dim)
      check(rowCount * dim, weightsAt)
      exports.limitNorms(NORM_CODES[norm], weightsAt, rowCount, dim, limit)
    },
  }
}

/** Instantiates the kernels over an arena of `memories.ts`. */
export const instantiateApplyKernels = (arena: WebAssembly.Memory): StepKernels =>
  makeStepKernels(instantiateModule<StepExports>('apply', { arena }), arena.buffer.byteLength)
