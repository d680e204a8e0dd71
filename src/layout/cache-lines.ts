/**
 * Cache line arithmetic. Each part of a memory region begins on a cache line of its own, so that two threads
 * that write neighbouring parts never share a line (false sharing).
 */
export const LINE_BYTES = 64

/** Rounds `bytes` up to a whole number of cache lines. */
export const alignUp = (bytes: number): number => Math.ceil(bytes / LINE_BYTES) * LINE_BYTES

/**
 * Places parts of these sizes one after the other from `at` on, each on a cache line boundary, and returns
 * the address of each.
 */
export const layOut = (at: number, sizes: readonly number[]): number[] => {
  let next = at
  return sizes.map((bytes) => {
    const address = next
    next += alignUp(bytes)
    return address
  })
}
