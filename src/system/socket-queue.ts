/** Tells how much of what was written to a socket its peer has received. */
import type { Socket } from 'node:net'
import process from 'node:process'
import { loadFfi } from './ffi.ts'

/** The parts of a connection that Node does not document. */
interface Handle {
  /** Bytes handed to the event loop's library, and those of them that the system has not taken. */
  bytesWritten?: number
  writeQueueSize?: number
  fd?: number
}

/** The number of the system call `ioctl`, which is variadic in the C library. */
const CALLS = { x64: 16n, arm64: 29n } as const
/** SIOCOUTQ: the bytes that the system holds for a TCP peer, which has not acknowledged them. */
const REQUEST_QUEUE = 0x54_11n

type CountUnacknowledged = (descriptor: number) => number

const findCall = (): CountUnacknowledged | null => {
  const { arch, platform } = process
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) return null
  try {
    const ffi = loadFfi()
    const { functions } = ffi.dlopen(null, {
      syscall: { arguments: ['int64', 'int64', 'uint64', 'uint64'], return: 'int64' },
    })
    const answer = new Int32Array(1)
    const answerAt = ffi.getRawPointer(answer)
    return (descriptor) =>
      functions.syscall(CALLS[arch], BigInt(descriptor), REQUEST_QUEUE, answerAt) === 0n ? answer[0] : 0
  } catch {
    return null
  }
}

let call: CountUnacknowledged | null | undefined

/**
 * Returns a number that moves whenever the peer takes bytes: how many it has acknowledged, on Linux. The
 * system holds megabytes for a slow peer and reports room for more only when a third of them is gone, which
 * would look like a standstill of a minute. Elsewhere it is the count of bytes that the system has taken.
 */
export const countDelivered = (socket: Socket): number => {
  const handle = (socket as { _handle?: Handle | null })._handle
  const { bytesWritten, writeQueueSize = 0, fd = -1 } = handle ?? {}
  if (bytesWritten === undefined) return -socket.writableLength
  if (call === undefined) call = findCall()
  return bytesWritten - writeQueueSize - (fd < 0 || call === null ? 0 : call(fd))
}
