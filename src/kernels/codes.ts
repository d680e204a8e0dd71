/**
 * Codes and sizes that the kernels and their callers share. They are written down here only:
 * `wasm/shared-source.ts` makes the AssemblyScript enums and constants of them.
 */

/** Element types that conversions read and write. */
export const ELEMENT_CODES = { float64: 0, float32: 1, float16: 2, bfloat16: 3 } as const

/** Rows that attend and bag kernels read: the dtype of a table, or float32 rows packed in the arena. */
export const SOURCE_CODES = { float32: 0, float16: 1, bfloat16: 2, int8: 3, packed: 4 } as const

/** Comparisons of a query and a row. */
export const METRIC_CODES = { dot: 0, cosine: 1, l2: 2 } as const

/** Operations that make one row of the rows of a bag. */
export const OPERATION_CODES = { sum: 0, mean: 1, sqrtn: 2, max: 3 } as const

/**
 * Constraints on the lengths of rows: `max` changes those above the limit, `unit` all that differ from it.
 */
export const NORM_CODES = { max: 0, unit: 1 } as const

/** Rows whose cache lines are touched before the first of them is copied, at most. */
export const TOUCH_ROWS = 64
/** Longer rows are not touched: the processor fetches them ahead by itself. */
export const TOUCH_BYTES_MAX = 2048
