/** Advises Linux about the pages of a WebAssembly memory, by `madvise` through `node:ffi`. */
import process from 'node:process'
import { loadFfi } from './ffi.ts'

/** Request pages of 2 MiB. */
export const MADV_HUGEPAGE = 14
/** Free the pages at once; they read as zeros afterwards. */
export const MADV_DONTNEED = 4

type Advise = (memory: WebAssembly.Memory, from: number, bytes: number, advice: number) => boolean

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
    return ({ buffer }, from, bytes, advice) => {
      const at = ffi.getRawPointer(new Uint8Array(buffer)) + BigInt(from)
      return functions.madvise(at, BigInt(bytes), advice) === 0
    }
  } catch {
    return null
  }
}

let found: Advise | null | undefined

/** Gives `advice` about `bytes` from `from` on, whole pages. Returns whether the system accepted it. */
export const adviseMemory: Advise = (memory, from, bytes, advice) => {
  found ??= findAdvise()
  return found?.(memory, from, bytes, advice) ?? false
}
