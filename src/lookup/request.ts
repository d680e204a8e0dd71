import type { AnswerDtype, Mode, Pooling } from '../core/types.ts'
import type { IndexArray } from '../tables/resolve.ts'

/** What a lookup asks, whatever format it came in. Absent members are the table's to decide. */
export interface LookupRequest {
  /** Row-major; `shape` says how they nest. `[]` is one id. */
  indices: IndexArray
  shape: readonly number[]
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
