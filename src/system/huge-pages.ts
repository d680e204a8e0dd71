/**
 * Requests pages of 2 MiB for table memory, by `madvise` through `node:ffi`. With 4 KiB pages, the walk
 * through the page tables is half of what a random row costs; NumPy does the same for its arrays. Linux then
 * decides by /sys/kernel/mm/transparent_hugepage/enabled: `madvise`, the default of most distributions, and
 * `always` grant them, `never` does not.
 */
import process from 'node:process'
import { loadFfi } from './ffi.ts'

const HUGE_PAGE_BYTES = 2 ** 21
const MADV_HUGEPAGE = 14

type Advise = (memory: WebAssembly.Memory) => boolean

/**
 * Finds `madvise`. Returns null on other systems, on a Node without `node:ffi`, and where a permission
 * forbids it.
 */
const findAdvise = (): Advise | null => {
  if (process.platform !== 'linux') return null
  try {
    const ffi = loadFfi()
    const { functions } = ffi.dlopen(null, {
      madvise: { arguments: ['uint64', 'uint64', 'int32'], return: 'int32' },
    })
    return ({ buffer }) =>
      functions.madvise(
        ffi.getRawPointer(new Uint8Array(buffer)),
        BigInt(buffer.byteLength),
        MADV_HUGEPAGE,
      ) === 0
  } catch {
    return null
  }
}

let advise: Advise | null | undefined

/**
 * Requests huge pages for a memory before anything is written to it. Returns whether the system accepted the
 * advice. A memory smaller than one huge page is left alone. The contents and the length do not change, since
 * no huge page crosses the end of the memory.
 */
export const adviseHugePages = (memory: WebAssembly.Memory): boolean => {
  if (memory.buffer.byteLength < HUGE_PAGE_BYTES) return false
  advise ??= findAdvise()
  return advise?.(memory) ?? false
}
