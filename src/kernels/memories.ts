/** Creates the shared memories of tables and arenas. */
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { PAGE_BYTES } from '../layout/table-layout.ts'
import { adviseHugePages } from '../system/huge-pages.ts'
import { adviseMemory, MADV_DONTNEED } from '../system/madvise.ts'

const ARENA_BYTES_MAX = 2 ** 32

/**
 * Creates a shared 64-bit memory of `bytes` zeros (a whole number of pages) that never grows. The system
 * allocates its pages on first touch, as huge pages if it can.
 */
export const createTableMemory = (bytes: number): WebAssembly.Memory => {
  assert(Number.isSafeInteger(bytes) && bytes >= 0 && bytes % PAGE_BYTES === 0, 'table memory is whole pages')
  assert(bytes <= LIMITS.segmentBytesMax, 'table memory is at most one segment')
  const pages = BigInt(bytes / PAGE_BYTES)
  const memory = new WebAssembly.Memory({ address: 'i64', initial: pages, maximum: pages, shared: true })
  adviseHugePages(memory)
  return memory
}

/**
 * Gives pages of a memory back to the system, whether or not a thread still maps them. They read as zeros
 * afterwards. Returns whether the system accepted it.
 */
export const givePagesBack = (memory: WebAssembly.Memory, from: number, bytes: number): boolean =>
  adviseMemory(memory, from, bytes, MADV_DONTNEED)

/**
 * Creates a shared 32-bit memory of at least `bytesMax`, up to 4 GiB. It never grows, so views of it stay
 * valid.
 */
export const createArenaMemory = (bytesMax: number): WebAssembly.Memory => {
  assert(
    Number.isSafeInteger(bytesMax) && bytesMax > 0 && bytesMax <= ARENA_BYTES_MAX,
    'arena memory is at most 4 GiB',
  )
  const pages = Math.ceil(bytesMax / PAGE_BYTES)
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true })
}
