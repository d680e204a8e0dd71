import type { FastifyRequest } from 'fastify'
import { refuse } from '../core/errors.ts'

/** Refuses DEADLINE_EXCEEDED when the client's `X-Request-Timeout-Ms` has passed: nobody waits for the answer any more. */
export const checkDeadline = (request: FastifyRequest): void => {
  const { deadlineAt } = request
  if (deadlineAt !== undefined && Date.now() >= deadlineAt) {
    refuse('DEADLINE_EXCEEDED', 'X-Request-Timeout-Ms had passed before the work could begin')
  }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Milliseconds since 1970 until which the client waits; set on arrival when it says so. */
    deadlineAt?: number
  }
}
