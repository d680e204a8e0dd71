import { type UpdateSourceKernels, instantiateUpdateSourceKernels } from '../../kernels/update-source.ts'
import type { Arena } from '../../tables/arena.ts'

/** A memory in which updates come, which the writer only reads: an HTTP worker's arena, or its own for what was copied there. */
export interface UpdateSource {
  int32: Int32Array
  float32: Float32Array
  /** From there into the writer's arena. */
  kernels: UpdateSourceKernels
}

const ownUpdateSources = new WeakMap<Arena, UpdateSource>()

/** The update source of updates that lie in `memory`. It never grows. */
export const openUpdateSource = (memory: WebAssembly.Memory, arena: Arena): UpdateSource => ({
  int32: new Int32Array(memory.buffer),
  float32: new Float32Array(memory.buffer),
  kernels: instantiateUpdateSourceKernels(memory, arena.memory),
})

/** The arena itself as an update source, made once. */
export const openOwnUpdateSource = (arena: Arena): UpdateSource => {
  const own = ownUpdateSources.get(arena) ?? openUpdateSource(arena.memory, arena)
  ownUpdateSources.set(arena, own)
  return own
}
