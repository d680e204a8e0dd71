import type { AnswerDtype, Mode, Pooling } from '../core/types.ts'
import type { IndexArray } from '../core/types.ts'

/**
 * The nesting of a flat run of values: row-major by `shape`. Rows of different length have the shape [rows,
 * -1] and these lengths.
 */
export interface Nesting {
  shape: readonly number[]
  lengths?: Int32Array
}

/** A lookup as it was asked, in whatever format. The table's settings decide for absent members. */
export interface LookupRequest extends Nesting {
  /** The shape `[]` is one id. */
  indices: IndexArray
  /** The first places of bags in flat indices. */
  offsets?: Nesting & { values: IndexArray }
  /** One for each index. */
  weights?: Nesting & { values: Float32Array }
  options: LookupOptions
}

/** The members beside the arrays, in the names of the contract. */
export interface LookupOptions {
  mode?: Mode
  /** null is NaN. */
  fill_value?: number | null
  pooling?: Pooling
  include_last_offset?: boolean
  padding_index?: number | null
  mask?: boolean
  dtype?: AnswerDtype
}
