/** Ends connections so that the last answer arrives. */
import type { Socket } from 'node:net'
import { LIMITS } from '../../core/limits.ts'
import { countDelivered } from '../../system/socket-queue.ts'
import type { Pace } from '../body/stall-watch.ts'
import { notesOf } from './socket-notes.ts'

/** Whether the service has ended the connection, so that nothing that still arrives is a request. */
export const isClosing = (socket: Socket): boolean => notesOf(socket).isClosing

/** While the rest of a body arrives, its sender has as long for the next bytes as before the refusal. */
const BODY_PACE: Pace = { silenceMs: LIMITS.uploadIdleMsMax, bytesPerSecondMin: 0 }
const CLOSE_PACE: Pace = { silenceMs: LIMITS.lingerMs, bytesPerSecondMin: 0 }

/**
 * Ends a connection after what has been written (RFC 9112, 9.6): sends the end, then reads and drops what the
 * client still sends until it ends the connection too, stands still, or has sent `lingerBytesMax`. A
 * connection closed with unread bytes would be reset, and a reset discards the answer on its way.
 * `isInBody` says that the client is in the middle of a body.
 */
export const closeConnection = (socket: Socket, isInBody = false): void => {
  const notes = notesOf(socket)
  if (socket.destroyed || notes.isClosing) return
  notes.isClosing = true
  let droppedBytes = 0
  // The parser of node:http no longer gets the bytes; adding a listener makes it give up the socket.
  socket.on('data', drop)
  for (const event of ['data', 'end', 'timeout']) {
    for (const listener of socket.listeners(event))
      if (listener !== drop) socket.off(event, listener as () => void)
  }
  socket.setTimeout(0)
  socket.end()
  socket.resume()
  const unwatch = notes.stalls.watch(
    () => droppedBytes + countDelivered(socket),
    isInBody ? BODY_PACE : CLOSE_PACE,
    () => socket.destroy(),
  )
  socket.once('close', unwatch)
  // Both directions may have ended before these listeners were there.
  if (socket.readableEnded) socket.once('finish', () => socket.destroy())

  function drop(bytes: Buffer): void {
    droppedBytes += bytes.length
    if (droppedBytes > LIMITS.lingerBytesMax) socket.destroy()
  }
}

/**
 * Reads and drops the rest of a body whose request was refused, on a connection that stays open, within the
 * bounds of {@link closeConnection}. The returned function ends the watch over it.
 */
export const watchDroppedBody = (socket: Socket): (() => void) => {
  const fromBytes = socket.bytesRead
  return notesOf(socket).stalls.watch(
    () => {
      if (socket.bytesRead - fromBytes > LIMITS.lingerBytesMax) socket.destroy()
      return socket.bytesRead + countDelivered(socket)
    },
    BODY_PACE,
    () => socket.destroy(),
  )
}
