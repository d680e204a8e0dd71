/**
 * The terms of the API as types. Members are spelled as on the wire, so that settings pass through unchanged.
 */

/**
 * The storage types of a table. int8 is row-wise affine: dim bytes, a float32 scale, a float32 bias (FBGEMM's
 * 8-bit SBFloat).
 */
export type Dtype = 'float32' | 'float16' | 'bfloat16' | 'int8'

/** The number types of a lookup's response; `native` is the storage type. */
export type AnswerDtype = 'float32' | 'float16' | 'bfloat16' | 'native'

/** The element types of arrays in request bodies, by their names in the API. */
export type ElementType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'bool'

export const ELEMENT_BYTES: Record<ElementType, number> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  bool: 1,
}

/** What a lookup does with an index outside 0..rows-1. */
export type Mode = 'error' | 'fill' | 'clip' | 'wrap' | 'clamp'
export type Pooling = 'none' | 'sum' | 'mean' | 'max' | 'sqrtn'
export type Durability = 'disk' | 'os' | 'none'

/** A rule that touched rows obey after each step. `optimizers/regularization.ts` lists the kinds. */
export interface Constraint {
  kind: string
  value?: number
}

/**
 * An optimizer with every parameter written out. `optimizers/kinds.ts` lists the kinds, and the file of a
 * kind declares the parameters that it has beside the shared ones.
 */
export interface Optimizer {
  kind: string
  learning_rate: number
  weight_decay?: number
  constraint?: Constraint
  readonly [parameter: string]: unknown
}

/** The settings of a table, which PATCH changes. `fill_value: null` means NaN. */
export interface Settings {
  out_of_range: Mode
  fill_value: number | null
  padding_index: number | null
  optimizer: Optimizer
  durability: Durability
  keep_versions: number
}

/** A table as clients see it. */
export interface TableInfo extends Settings {
  name: string
  version: number
  sequence: number
  rows: number
  dim: number
  dtype: Dtype
  bytes: number
  /** The versions that aliases name; absent when there are none. */
  held_versions?: { version: number; aliases: string[] }[]
  created_at: string
  updated_at: string
}

/** What a request requires of the current state, from `If-Match` and `If-None-Match`. */
export interface Precondition {
  /**
   * Strong entity tags (without quotes) of any form, or versions, one of which must be current. `*` requires
   * that the table exists.
   */
  ifMatch?: string[]
  /** Entity tags, weak ones included. `*` requires that the table does not exist. */
  ifNoneMatch?: string[]
}

/**
 * Indices of a body: any integer width, or the safe integers of a JSON body. Views of its bytes where they
 * are aligned, so for reading.
 */
export type IndexArray =
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | Float64Array

/**
 * Whether a number stays finite as float32, in which tables are stored and computed. Not so for infinities
 * and NaN.
 */
export const fitsFloat32 = (value: number): boolean => Number.isFinite(Math.fround(value))
