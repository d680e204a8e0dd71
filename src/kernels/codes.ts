/**
 * Codes and sizes that the kernels and their callers share. They are defined only here:
 * `wasm/shared-source.ts` turns them into AssemblyScript enums and constants.
 */

/** The element types that conversions read and write. */
export const ELEMENT_CODES = { float64: 0, float32: 1, float16: 2, bfloat16: 3 } as const

/**
 * The rows that attend and bag kernels read: those of a table by dtype, or float32 rows packed in the arena.
 */
export const SOURCE_CODES = { float32: 0, float16: 1, bfloat16: 2, int8: 3, packed: 4 } as const

/** The metrics that compare a query with a row. */
export const METRIC_CODES = { dot: 0, cosine: 1, l2: 2 } as const

/** The operations that reduce the rows of a bag to one row. */
export const OPERATION_CODES = { sum: 0, mean: 1, sqrtn: 2, max: 3 } as const

/**
 * The constraints on row norms: `max` scales rows above the limit down to it, `unit` scales every row to it.
 */
export const NORM_CODES = { max: 0, unit: 1 } as const

/**
 * The shortest length that a float32 sum of squares gives to its last bits. Each of up to 65,536 squares may
 * lose 2^-150 to underflow, which is 2^-134 in all, and half a unit in the last place of a sum of 2^-110.
 * Shorter lengths, and those whose sum overflows, are summed again in float64.
 */
export const SAFE_LENGTH_MIN = 2 ** -55

/**
 * The most rows whose cache lines a kernel touches (loads one byte of, as a prefetch) before it copies the
 * first of them.
 */
export const TOUCH_ROWS = 64
/** Longer rows are not touched, because the hardware prefetcher already fetches their lines ahead. */
export const TOUCH_BYTES_MAX = 2048
