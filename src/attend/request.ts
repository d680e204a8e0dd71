import type { Metric } from '../kernels/attend.ts'

/** An attend request as it was asked, in whatever format. */
export interface AttendRequest {
  /** Row-major and finite; the last axis of `shape` is the dim. */
  queries: Float32Array
  shape: readonly number[]
  options: AttendOptions
}

/** The members beside the queries, in the names of the contract. */
export interface AttendOptions {
  /** Absent: all scores of the table. */
  top_k?: number
  metric?: Metric
}
