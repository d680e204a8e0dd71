/**
 * Requests the shortest scheduler slice, by `sched_setattr` through `node:ffi`. Without it, an HTTP thread
 * that wakes for a lookup waits up to 3 ms for a commit or garbage collection thread to finish its slice (1.4
 * to 3 ms): p99 beside updates on disk is 3 times as high (docs/explanation/performance.md). A shorter slice
 * changes who runs first, not how much processor time each thread gets.
 */
import process from 'node:process'
import { loadFfi } from './ffi.ts'

/** The shortest slice that Linux grants. Kernels before 6.12 ignore it. */
const SLICE_NS = 100_000n

/** SCHED_OTHER. A thread with another policy was given it on purpose and is left alone. */
const POLICY_OTHER = 0

/** The numbers of the two system calls, which older C libraries do not export by name. */
const CALLS = { x64: { set: 314n, get: 315n }, arm64: { set: 274n, get: 275n } } as const

/** The size of `struct sched_attr`, and the offsets of two of its members. */
const ATTRIBUTES_BYTES = 56
const POLICY_AT = 4
const RUNTIME_AT = 24

const findCall = (): ((name: 'get' | 'set', attributes: Uint8Array) => boolean) | null => {
  const { arch, platform } = process
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) return null
  const numbers = CALLS[arch]
  const ffi = loadFfi()
  const { functions } = ffi.dlopen(null, {
    syscall: { arguments: ['int64', 'int64', 'uint64', 'uint64', 'uint64'], return: 'int64' },
  })
  // Thread 0 means the calling thread. The set call takes flags where the get call takes the size.
  return (name, attributes) =>
    functions.syscall(
      numbers[name],
      0n,
      ffi.getRawPointer(attributes),
      name === 'get' ? BigInt(ATTRIBUTES_BYTES) : 0n,
      0n,
    ) === 0n
}

/**
 * Requests the shortest slice for this thread and for the threads that it starts from now on; the priority
 * does not change. Returns whether the system accepted it, as an older Linux does without effect. It returns
 * false on other systems, without `node:ffi`, and under any policy but SCHED_OTHER.
 */
export const requestShortTimeSlices = (): boolean => {
  try {
    const call = findCall()
    const attributes = new Uint8Array(ATTRIBUTES_BYTES)
    const view = new DataView(attributes.buffer)
    if (call === null || !call('get', attributes) || view.getUint32(POLICY_AT, true) !== POLICY_OTHER)
      return false
    view.setBigUint64(RUNTIME_AT, SLICE_NS, true)
    return call('set', attributes)
  } catch {
    return false
  }
}
