/** Asks for bodies that clients hold back (`Expect: 100-continue`). */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** Marks a request whose client waits before it sends the body, by its response. */
const WAITING = Symbol('waits to be asked for its body')
type HeldRequest = IncomingMessage & { [WAITING]?: ServerResponse | undefined }

/**
 * Keeps node:http from asking for a body before its request is admitted, and from refusing other expectations
 * with an empty answer: the route does both.
 */
export const holdExpectations = (server: Server): void => {
  server.on('checkContinue', (request: HeldRequest, response: ServerResponse) => {
    request[WAITING] = response
    server.emit('request', request, response)
  })
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    server.emit('request', request, response)
  })
}

/** Whether the client of a request still waits to be asked for its body. */
export const isHeldBack = (request: HeldRequest): boolean => request[WAITING] !== undefined

/** Asks for the body of a request if its client waits to be asked. Called when the body is wanted. */
export const askForBody = (request: HeldRequest): void => {
  const response = request[WAITING]
  if (response === undefined) return
  request[WAITING] = undefined
  if (!response.headersSent && !response.destroyed) response.writeContinue()
}
