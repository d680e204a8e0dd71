/** Runs the requests of one connection one after the other where their order matters. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { notesOf } from './socket-notes.ts'

/** The methods whose requests change nothing (RFC 9110, 9.2.1). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'QUERY', 'TRACE'])

/** What becomes of a request: it runs, or its connection has ended before its turn. */
export type TurnResult = 'run' | 'closed'

/**
 * Calls `done` when a request may run: at once, unless an earlier request of the connection is in progress
 * and one of the two is not safe. A client that sends both without waiting then sees them in its order
 * (RFC 9112, 9.3.2).
 */
export const takeTurn = (
  request: IncomingMessage,
  response: ServerResponse,
  done: (result: TurnResult) => void,
): void => {
  const { socket, method = '' } = request
  const notes = notesOf(socket)
  const { latest } = notes
  if (latest === null || latest.response.writableFinished || latest.response.closed) {
    notes.latest = { response, isSafe: SAFE.has(method) }
    done(notes.isClosing ? 'closed' : 'run')
    return
  }
  const isSafe = SAFE.has(method) && latest.isSafe
  notes.latest = { response, isSafe }
  if (isSafe) done('run')
  else afterwards(socket, latest.response, done)
}

const afterwards = (socket: Socket, earlier: ServerResponse, done: (result: TurnResult) => void): void => {
  const settle = (): void => {
    earlier.off('finish', settle).off('close', settle)
    done(socket.destroyed || notesOf(socket).isClosing ? 'closed' : 'run')
  }
  earlier.once('finish', settle).once('close', settle)
}
