import { type InboxKernels, instantiateInboxKernels } from '../../kernels/update-source.ts'
import type { Arena } from '../../tables/arena.ts'

/** A memory in which updates come, which the keeper only reads: a front's arena, or its own for what was copied there. */
export interface Inbox {
  int32: Int32Array
  float32: Float32Array
  /** From there into the keeper's arena. */
  kernels: InboxKernels
}

const ownInboxes = new WeakMap<Arena, Inbox>()

/** The inbox of updates that lie in `memory`. It never grows. */
export const openInbox = (memory: WebAssembly.Memory, arena: Arena): Inbox => ({
  int32: new Int32Array(memory.buffer),
  float32: new Float32Array(memory.buffer),
  kernels: instantiateInboxKernels(memory, arena.memory),
})

/** The arena itself as an inbox, made once. */
export const openOwnInbox = (arena: Arena): Inbox => {
  const own = ownInboxes.get(arena) ?? openInbox(arena.memory, arena)
  ownInboxes.set(arena, own)
  return own
}
