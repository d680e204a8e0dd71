/** The terms of the contract as types. Members are spelled as on the wire, so that settings pass through unchanged. */

/** How values are stored. int8 is row-wise affine: dim bytes, float32 scale, float32 bias (FBGEMM's 8-bit SBFloat). */
export type Dtype = 'float32' | 'float16' | 'bfloat16' | 'int8'

/** What values look like in a lookup's answer; `native` is the storage dtype. */
export type AnswerDtype = 'float32' | 'float16' | 'bfloat16' | 'native'

/** Element types of arrays that arrive in bodies, in the names of the contract. */
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

/** What happens to an index outside 0..rows-1. */
export type Mode = 'error' | 'fill' | 'clip' | 'wrap' | 'clamp'
export type Pooling = 'none' | 'sum' | 'mean' | 'max' | 'sqrtn'
export type Durability = 'disk' | 'os' | 'none'

export interface Constraint {
  kind: 'max_norm' | 'unit_norm' | 'non_negative'
  value?: number
}

interface OptimizerCommon {
  learning_rate: number
  weight_decay?: number
  constraint?: Constraint
}
export type Optimizer = OptimizerCommon &
  (
    | { kind: 'sgd' }
    | { kind: 'momentum'; momentum: number; nesterov: boolean }
    | { kind: 'adagrad'; initial_accumulator: number; epsilon: number; epsilon_inside_sqrt: boolean }
    | { kind: 'rowwise_adagrad'; initial_accumulator: number; epsilon: number; epsilon_inside_sqrt: boolean }
    | { kind: 'adam'; beta1: number; beta2: number; epsilon: number }
  )

/** What PATCH changes. `fill_value: null` is NaN. */
export interface Settings {
  out_of_range: Mode
  fill_value: number | null
  padding_index: number | null
  optimizer: Optimizer
  durability: Durability
  keep_versions: number
}

/** The description of a table that clients see. */
export interface TableInfo extends Settings {
  name: string
  version: number
  sequence: number
  rows: number
  dim: number
  dtype: Dtype
  bytes: number
  created_at: string
  updated_at: string
}

/** What a PUT or PATCH asks of the current state: `If-Match` and `If-None-Match`. */
export interface Precondition {
  /** Entity tags (without quotes) of which one must be current: `"<version>-<sequence>"`, or `"<version>"`; `*`: the table exists. */
  ifMatch?: string[]
  /** `*`: the table must not exist. */
  ifNoneMatch?: string[]
}

/** Indices of a body: any integer width, or the safe integers of a JSON body. Views of its bytes where they are aligned, so for reading. */
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

/** Whether a number stays finite as float32, in which tables are stored and computed. Not so for infinities and NaN. */
export const fitsFloat32 = (value: number): boolean => Number.isFinite(Math.fround(value))
