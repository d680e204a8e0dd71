/** Asks for bodies that clients hold back (`Expect: 100-continue`). */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** The requests whose clients wait before they send the body. */
const waiting = new WeakMap<IncomingMessage, ServerResponse>()

/**
 * Keeps node:http from asking for a body before its request is admitted, and from refusing other expectations
 * with an empty answer: the route does both.
 */
export const holdExpectations = (server: Server): void => {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    waiting.set(request, response)
    server.emit('request', request, response)
  })
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response)
  })
}

/** Whether the client of a request still waits to be asked for its body. */
export const isHeldBack = (request: IncomingMessage): boolean => waiting.has(request)

/** Asks for the body of a request if its client waits to be asked. Called when the body is wanted. */
export const askForBody = (request: IncomingMessage): void => {
  const response = waiting.get(request)
  if (response === undefined) return
  waiting.delete(request)
  if (!response.headersSent && !response.destroyed) response.writeContinue()
}
