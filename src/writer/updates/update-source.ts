/** The memories from which the writer reads the arrays of updates. */
import { type UpdateSourceKernels, instantiateUpdateSourceKernels } from '../../kernels/update-source.ts'
import type { Arena } from '../../tables/arena.ts'

/**
 * A memory from which the writer reads the arrays of updates: the arena of an HTTP worker, or the writer's
 * own arena for arrays that were copied there.
 */
export interface UpdateSource {
  int32: Int32Array
  float32: Float32Array
  /** Kernels that read that memory and write the writer's arena. */
  kernels: UpdateSourceKernels
}

const ownUpdateSources = new WeakMap<Arena, UpdateSource>()

/** Opens the update source over `memory`, which never grows. */
export const openUpdateSource = (memory: WebAssembly.Memory, arena: Arena): UpdateSource => ({
  int32: new Int32Array(memory.buffer),
  float32: new Float32Array(memory.buffer),
  kernels: instantiateUpdateSourceKernels(memory, arena.memory),
})

/** Opens the arena itself as an update source, once for each arena. */
export const openOwnUpdateSource = (arena: Arena): UpdateSource => {
  const own = ownUpdateSources.get(arena) ?? openUpdateSource(arena.memory, arena)
  ownUpdateSources.set(arena, own)
  return own
}
