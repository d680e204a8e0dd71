/** Prepares the connections that node:http reads, and knows which are open. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { closeConnection } from './close-connection.ts'
import type { StallWatch } from '../body/stall-watch.ts'
import type { Connections } from './connections.ts'
import { notesOf } from './socket-notes.ts'

/** How often a client that has sent its last byte is asked whether it still waits for its answer. */
const HALF_OPEN_PROBE_MS = 2_000

/**
 * Makes every connection that node:http gets end gently, and answers clients that have closed their side.
 * Call it before other listeners of connections are added.
 */
export const prepareSockets = (
  server: Server & { httpAllowHalfOpen?: boolean },
  { connections, stalls }: { connections: Connections; stalls: StallWatch },
): void => {
  const open = new Set<Socket>()
  connections.add(() => {
    server.closeIdleConnections()
    return open
  })
  server.httpAllowHalfOpen = true
  server.prependListener('connection', (socket: Socket) => {
    notesOf(socket, stalls)
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    // node:http calls it after the last answer of a connection.
    socket.destroySoon = () => closeConnection(socket, isInBody(socket))
    probeHalfOpen(socket)
  })
}

/**
 * Notices clients that have gone and not only closed their sending side, which looks the same at first. An
 * interim answer tells them apart: every client of HTTP/1.1 reads over it (RFC 9110, 15.2), and the system of
 * one that has gone resets the connection. Long work for nobody ends then.
 */
const probeHalfOpen = (socket: Socket): void => {
  socket.once('end', () => {
    // A client of HTTP/1.0 gets no interim answers, but its system stops acknowledging after a minute.
    socket.setKeepAlive(true, HALF_OPEN_PROBE_MS)
    const timer = setInterval(() => {
      const pending = answerInProgress(socket)
      if (pending !== null && !pending.headersSent && pending.req.httpVersion === '1.1')
        pending.writeContinue()
    }, HALF_OPEN_PROBE_MS).unref()
    socket.once('close', () => clearInterval(timer))
  })
}

/** Whether the request that was answered last has not arrived as a whole. */
const isInBody = (socket: Socket): boolean => {
  const { parser } = socket as { parser?: { incoming?: IncomingMessage | null } | null }
  return parser?.incoming != null && !parser.incoming.complete
}

/** The answer that a connection is sending, for which Node has no public name. */
export const answerInProgress = (socket: Socket): ServerResponse | null =>
  (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? null
