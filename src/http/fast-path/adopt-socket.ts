import { Socket, type SocketConstructorOpts } from 'node:net'

/** Says where what a socket reads goes, and hears of it. */
export interface SocketReader {
  /** Where the next bytes go: asked once, and again after each `read`. */
  target(): Uint8Array
  /** `byteCount` bytes have come into `memory`, where they stay only until this returns. False: read no further for now. */
  read(byteCount: number, memory: Uint8Array): boolean
}

/** A socket that reads into the memory of its reader. */
export interface AdoptedSocket {
  socket: Socket
  /** From now on into `memory`, also before the next read. */
  redirect(memory: Uint8Array): void
}

/** What Node keeps to itself of the connections that a server accepts. */
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
 * Makes a new socket of an accepted one, which reads into memory of the reader's choice (`onread` of `net.Socket`). Node offers that for connections
 * that one opens, not for those that a server accepts, and otherwise reads 64 KiB at a time into memory that it allocates for each
 * read: half of what a large body costs (docs/explanation/performance.md). null: this is no TCP connection of the Node that this was written for, and is
 * as it was. The new socket stands for the old one in the server's count of its connections.
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
  // Node tells of the next read by the memory that it knew before.
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
