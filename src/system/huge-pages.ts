/**
 * Pages of 2 MiB for table memory, by `madvise` through `node:ffi`: with 4 KiB pages, the walk through the page tables is half of what a
 * random row costs. NumPy does the same for its arrays. Linux then decides by /sys/kernel/mm/transparent_hugepage/enabled: `madvise`, the
 * default of most distributions, and `always` give them, `never` does not.
 */
import process from 'node:process'
import { loadFfi } from './ffi.ts'

const HUGE_PAGE_BYTES = 2 ** 21
const MADV_HUGEPAGE = 14

type Advise = (memory: WebAssembly.Memory) => boolean

/** Null on other systems, on a Node without `node:ffi` (before 26.1, or with --no-experimental-ffi), and where a permission forbids it. */
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
 * Asks for huge pages behind a memory, before anything is written to it, and returns whether the system took the advice. A memory without
 * room for one is left as it is. Contents and limits stay: there is no huge page across the memory's end.
 */
export const adviseHugePages = (memory: WebAssembly.Memory): boolean => {
  if (memory.buffer.byteLength < HUGE_PAGE_BYTES) return false
  advise ??= findAdvise()
  return advise?.(memory) ?? false
}
