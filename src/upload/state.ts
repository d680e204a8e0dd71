/** Plans the optimizer state in the body of an upload. */
import { refuse } from '../core/errors.ts'
import type { Optimizer } from '../core/types.ts'
import { listNames } from '../formats/scanner.ts'
import type { ByteRange, LocatedArrays } from '../formats/shape.ts'
import {
  countsSteps,
  hasState,
  STATE_PREFIX,
  type StateTensor,
  STEP_NAME,
  stateLength,
  stateTensors,
} from '../optimizers/state-tensors.ts'
import { type UploadOptions, type UploadPlan } from './finish-plan.ts'

/** The places of the optimizer state in a safetensors body. Ranges are bytes of the whole body. */
export interface StatePlan {
  kind: string
  /** Float32 numbers per state row. */
  length: number
  tensors: (StateTensor & ByteRange)[]
  /** The place of the count of gradient steps; null if the optimizer does not count them. */
  step: ByteRange | null
}

/**
 * Lists the names of optimizer state in a body; none when an array of that state is itself to become a table.
 */
export const listStateNames = ({ arrays, unread }: LocatedArrays, { tensor }: UploadOptions): string[] =>
  tensor?.startsWith(STATE_PREFIX) === true
    ? []
    : [...arrays.keys(), ...unread.keys()].filter((name) => name.startsWith(STATE_PREFIX))

/**
 * Prints a shape without the axes of length one behind the first `axisCount`: NumPy stores a number as [1],
 * and others store one number a row as [rows, 1].
 */
const dropOnes = (shape: readonly number[], axisCount: number): string => {
  let count = shape.length
  while (count > axisCount && shape[count - 1] === 1) count--
  return shape.slice(0, count).join()
}

/**
 * Plans the optimizer state of a body. `names`, of which there is at least one, must be all arrays that
 * `optimizer` has for the table. Refuses INVALID_REQUEST for state of another optimizer, DTYPE_MISMATCH and
 * SHAPE_MISMATCH for arrays of another form, and DTYPE_MISMATCH for an int8 table, which no gradient changes.
 */
export const planState = (
  located: LocatedArrays,
  names: readonly string[],
  optimizer: Pick<Optimizer, 'kind'>,
  { rows, dim, dtype }: Pick<UploadPlan, 'rows' | 'dim' | 'dtype'>,
): StatePlan => {
  const { kind } = optimizer
  if (dtype === 'int8') {
    refuse(
      'DTYPE_MISMATCH',
      `int8 tables take no gradients, and have no optimizer state: leave ${listNames(names)} out`,
    )
  }
  if (!hasState(optimizer)) {
    return refuse(
      'INVALID_REQUEST',
      `the body has optimizer state, ${listNames(names)}, but the table's optimizer is ${kind}, ` +
        'which has none: give ?optimizer=, or leave it out',
    )
  }
  const tensors = stateTensors(kind, rows, dim)
  const expected = tensors.map(({ name }) => name).concat(countsSteps(optimizer) ? STEP_NAME : [])
  if (expected.some((name) => !names.includes(name)) || names.some((name) => !expected.includes(name))) {
    refuse(
      'INVALID_REQUEST',
      `the table's optimizer is ${kind}, whose state is ${listNames(expected)}; ` +
        `the body has ${listNames(names)}`,
    )
  }
  const findRange = (name: string, elementType: 'float32' | 'int64', shape: readonly number[]): ByteRange => {
    located.unread.get(name)?.refuse()
    const array = located.arrays.get(name)
    if (array?.elementType !== elementType)
      refuse('DTYPE_MISMATCH', `${name} must be ${elementType}, it is ${array?.elementType}`)
    if (dropOnes(array.shape, shape.length) !== shape.join()) {
      refuse(
        'SHAPE_MISMATCH',
        `${name} of ${kind} must have shape [${shape.join()}], it has [${array.shape.join()}]`,
      )
    }
    return { begin: array.begin, end: array.end }
  }
  return {
    kind,
    length: stateLength(optimizer, dim),
    tensors: tensors.map((tensor) => ({ ...tensor, ...findRange(tensor.name, 'float32', tensor.shape) })),
    step: countsSteps(optimizer) ? findRange(STEP_NAME, 'int64', []) : null,
  }
}
