import { refuse } from '../core/errors.ts'
import type { Optimizer } from '../core/types.ts'
import type { ByteRange, SafetensorsHeader } from '../formats/safetensors.ts'
import {
  STATE_PREFIX,
  type StateTensor,
  STEP_NAME,
  stateLength,
  stateTensors,
} from '../layout/state-layout.ts'
import { listNames, type UploadOptions, type UploadPlan } from './plan.ts'

/** The places of optimizer state in a safetensors body. Ranges are bytes of the whole body. */
export interface StatePlan {
  kind: Exclude<Optimizer['kind'], 'sgd'>
  /** Float32 numbers per state row. */
  length: number
  tensors: (StateTensor & ByteRange)[]
  /** The place of the count of gradient steps; null when the optimizer has none. */
  step: ByteRange | null
}

/** Names of optimizer state in a body; none when an array of that state is itself to become a table. */
export const listStateNames = ({ tensors }: SafetensorsHeader, { tensor }: UploadOptions): string[] =>
  tensor?.startsWith(STATE_PREFIX) === true
    ? []
    : [...tensors.keys()].filter((name) => name.startsWith(STATE_PREFIX))

/**
 * Plans the optimizer state of a body: `names`, of which there is at least one, must be all that `optimizer`
 * has for the table. Refuses INVALID_REQUEST for state of another optimizer, DTYPE_MISMATCH and
 * SHAPE_MISMATCH for arrays of another form, and DTYPE_MISMATCH for an int8 table, which no gradient changes.
 */
export const planState = (
  header: SafetensorsHeader,
  names: readonly string[],
  { kind }: Pick<Optimizer, 'kind'>,
  { rows, dim, dtype }: Pick<UploadPlan, 'rows' | 'dim' | 'dtype'>,
): StatePlan => {
  if (dtype === 'int8') {
    refuse(
      'DTYPE_MISMATCH',
      `int8 tables take no gradients, and have no optimizer state: leave ${listNames(names)} out`,
    )
  }
  if (kind === 'sgd') {
    return refuse(
      'INVALID_REQUEST',
      `the body has optimizer state, ${listNames(names)}, but the table's optimizer is sgd, ` +
        `which has none: give ?optimizer=, or leave it out`,
    )
  }
  const tensors = stateTensors(kind, rows, dim)
  const wanted = tensors.map(({ name }) => name).concat(kind === 'adam' ? STEP_NAME : [])
  if (wanted.some((name) => !names.includes(name)) || names.some((name) => !wanted.includes(name))) {
    refuse(
      'INVALID_REQUEST',
      `the table's optimizer is ${kind}, whose state is ${listNames(wanted)}; ` +
        `the body has ${listNames(names)}`,
    )
  }
  const findRange = (name: string, elementType: 'float32' | 'int64', shape: readonly number[]): ByteRange => {
    const found = header.tensors.get(name)
    if (found?.elementType !== elementType)
      refuse('DTYPE_MISMATCH', `${name} must be ${elementType}, it is ${found?.elementType}`)
    if (found.shape.join() !== shape.join()) {
      refuse(
        'SHAPE_MISMATCH',
        `${name} of ${kind} must have shape [${shape.join()}], it has [${found.shape.join()}]`,
      )
    }
    return { begin: header.dataAt + found.begin, end: header.dataAt + found.end }
  }
  return {
    kind,
    length: stateLength({ kind }, dim),
    tensors: tensors.map((tensor) => ({ ...tensor, ...findRange(tensor.name, 'float32', tensor.shape) })),
    step: kind === 'adam' ? findRange(STEP_NAME, 'int64', []) : null,
  }
}
