/** Runs the requests of one connection one after the other where their order matters. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { isClosing } from './close-connection.ts'

interface Turn {
  response: ServerResponse
  isSafe: boolean
}

/** The latest request of each connection. Answers keep the order of requests, so it is also the last to end. */
const latest = new WeakMap<Socket, Turn>()

/** The methods whose requests change nothing (RFC 9110, 9.2.1). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'QUERY', 'TRACE'])

/** What becomes of a request: it runs, or its connection has ended before its turn. */
export type TurnResult = 'run' | 'closed'

/**
 * Calls `done` when a request may run: at once, unless an earlier request of the connection is in progress and
 * one of the two is not safe. A client that sends both without waiting then sees them in its order (RFC 9112,
 * 9.3.2).
 */
export const takeTurn = (
  request: IncomingMessage,
  response: ServerResponse,
  done: (result: TurnResult) => void,
): void => {
  const { socket, method = '' } = request
  const before = latest.get(socket)
  const isWaiting = before !== undefined && !before.response.writableFinished && !before.response.closed
  const isSafe = SAFE.has(method) && (!isWaiting || before.isSafe)
  if (before === undefined) latest.set(socket, { response, isSafe })
  else {
    // Refilled, because most connections have one request at a time, and many of them.
    const { response: earlier, isSafe: wasSafe } = before
    before.response = response
    before.isSafe = isSafe
    if (isWaiting && !(isSafe && wasSafe)) {
      afterwards(socket, earlier, done)
      return
    }
  }
  done(isClosing(socket) ? 'closed' : 'run')
}

const afterwards = (socket: Socket, earlier: ServerResponse, done: (result: TurnResult) => void): void => {
  const settle = (): void => {
    earlier.off('finish', settle).off('close', settle)
    done(socket.destroyed || isClosing(socket) ? 'closed' : 'run')
  }
  earlier.once('finish', settle).once('close', settle)
}
