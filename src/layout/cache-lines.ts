/**
 * Places on cache lines. Parts of a region begin on one, so that two threads that write neighbouring parts do
 * not share a line.
 */
export const LINE_BYTES = 64

/** The least multiple of a cache line that holds `bytes`. */
export const alignUp = (bytes: number): number => Math.ceil(bytes / LINE_BYTES) * LINE_BYTES

/**
 * Lays parts of these sizes out one after the other from `at` on, each on a cache line, and returns where
 * they begin.
 */
export const layOut = (at: number, sizes: readonly number[]): number[] => {
  let next = at
  return sizes.map((bytes) => {
    const here = next
    next += alignUp(bytes)
    return here
  })
}
