/** The types of a decoded attend request. */
import type { Metric } from '../kernels/attend.ts'

/** A decoded attend request, which does not depend on the format of its body. */
export interface AttendRequest {
  /** Row-major and finite; the last axis of `shape` is the dim. */
  queries: Float32Array
  shape: readonly number[]
  options: AttendOptions
}

/** The options of an attend request, under the names of the HTTP contract. */
export interface AttendOptions {
  /** Number of best rows per query. When absent, the answer has the scores of all rows. */
  top_k?: number
  metric?: Metric
}
