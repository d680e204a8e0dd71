/**
 * Requests pages of 2 MiB for table memory, by `madvise` through `node:ffi`. With 4 KiB pages, the walk
 * through the page tables is half of what a random row costs; NumPy does the same for its arrays. Linux then
 * decides by /sys/kernel/mm/transparent_hugepage/enabled: `madvise`, the default of most distributions, and
 * `always` grant them, `never` does not.
 */
import { adviseMemory, MADV_HUGEPAGE } from './madvise.ts'

const HUGE_PAGE_BYTES = 2 ** 21

/**
 * Requests huge pages for a memory before anything is written to it. Returns whether the system accepted the
 * advice. A memory smaller than one huge page is left alone. The contents and the length do not change, since
 * no huge page crosses the end of the memory.
 */
export const adviseHugePages = (memory: WebAssembly.Memory): boolean => {
  const bytes = memory.buffer.byteLength
  return bytes >= HUGE_PAGE_BYTES && adviseMemory(memory, 0, bytes, MADV_HUGEPAGE)
}
