/** Makes accepted sockets read into memory of our choice, which Node offers only for outgoing connections. */
import { Socket, type SocketConstructorOpts } from 'node:net'

/** Chooses the memory that a socket reads into, and receives the bytes. */
export interface SocketReader {
  /** Returns the memory for the next bytes. Called once, and again after each `read`. */
  target(): Uint8Array
  /**
   * Receives `byteCount` bytes in `memory`, which are valid until this returns. Returning false stops
   * reading.
   */
  read(byteCount: number, memory: Uint8Array): boolean
}

/** A socket that reads into memory that its reader chooses. */
export interface AdoptedSocket {
  socket: Socket
  /** Makes the next read go into `memory`. */
  redirect(memory: Uint8Array): void
}

/** The parts of an accepted connection that Node does not document. */
interface Handle {
  reading: boolean
  readStop(): number
  useUserBuffer(memory: Uint8Array): void
}
interface Accepted {
  _handle?: Handle | null
  _server?: unknown
  server?: unknown
}

/**
 * Replaces an accepted socket by a new one that reads into memory of the reader's choice (`onread` of
 * `net.Socket`). Node offers that only for outgoing connections. It reads accepted ones 64 KiB at a time into
 * memory allocated for each read, which is half of the cost of a large body
 * (docs/explanation/performance.md). Returns null, and leaves the accepted socket unchanged, when the handle
 * is not one of the Node version that this was written for. The new socket takes the place of the old one in
 * the server's count of connections.
 */
export const adoptSocket = (accepted: Socket, reader: SocketReader): AdoptedSocket | null => {
  const inner = accepted as unknown as Accepted
  const handle = inner._handle
  if (
    handle === undefined ||
    handle === null ||
    typeof handle.useUserBuffer !== 'function' ||
    inner._server == null
  )
    return null
  handle.readStop()
  handle.reading = false
  // Node reports the next read with the memory from before the redirection.
  let redirected: Uint8Array | undefined
  const read = (byteCount: number, memory: Uint8Array): boolean => {
    const into = redirected ?? memory
    redirected = undefined
    return reader.read(byteCount, into)
  }
  const options: Omit<SocketConstructorOpts, 'handle'> & { handle: Handle } = {
    handle,
    allowHalfOpen: true,
    onread: { buffer: () => reader.target(), callback: read },
  }
  const socket = new Socket(options as object as SocketConstructorOpts)
  const outer = socket as unknown as Accepted
  outer.server = inner.server
  outer._server = inner._server
  inner._handle = null
  inner._server = null
  const redirect = (memory: Uint8Array): void => {
    redirected = memory
    handle.useUserBuffer(memory)
  }
  return { socket, redirect }
}
