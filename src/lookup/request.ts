/** The types of a decoded lookup. */
import type { AnswerDtype, Mode, Pooling } from '../core/types.ts'
import type { IndexArray } from '../core/types.ts'

/**
 * The nesting of flat values: row-major by `shape`. Rows of different length have the shape [rows, -1] and
 * these lengths.
 */
export interface Nesting {
  shape: readonly number[]
  lengths?: Int32Array
}

/**
 * A decoded lookup, which does not depend on the format of its body. The settings of the table apply for
 * absent members.
 */
export interface LookupRequest extends Nesting {
  /** The ids; the shape `[]` is one id. */
  indices: IndexArray
  /** The place in flat indices at which each bag begins. */
  offsets?: Nesting & { values: IndexArray }
  /** A weight for each index. */
  weights?: Nesting & { values: Float32Array }
  options: LookupOptions
}

/** The options of a lookup, under the names of the HTTP contract. */
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
