/**
 * Short turns on the processor, by `sched_setattr` through `node:ffi`. Linux lets a thread go on until its slice is over (1.4 to 3 ms) before one
 * that wakes gets the processor, unless that has asked for shorter slices. An HTTP worker sleeps between lookups, and without them each that
 * comes during a commit of the writer, or while threads of the garbage collector run, waits for those: p99 beside updates on disk is 3 times as
 * high (docs/explanation/performance.md). Slices change who comes first, not how much of the processor each thread gets.
 */
import process from 'node:process'
import { loadFfi } from './ffi.ts'

/** The shortest that there is. Linux since 6.12; before it, nothing changes. */
const SLICE_NS = 100_000n

/** SCHED_OTHER. Who has chosen another policy has other wishes. */
const POLICY_OTHER = 0

/** Numbers of the two calls, which older C libraries do not have by name. */
const CALLS = { x64: { set: 314n, get: 315n }, arm64: { set: 274n, get: 275n } } as const

/** Of `struct sched_attr`. */
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
  // Thread 0 is the one that calls. Setting takes flags in place of the size, which the attributes say themselves.
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
 * Asks for the shortest slices for this thread, and for those that it starts from now on; its priority stays. Returns whether the system has
 * taken the wish, as an older Linux does without effect: not on other systems, without `node:ffi`, nor under any policy but SCHED_OTHER.
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
