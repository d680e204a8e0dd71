import { admit, type HeadFacts, isLastOfConnection } from '../admit.ts'
import type { Health } from '../context.ts'

/**
 * Whether the fast path may answer a request with this head now. Otherwise Fastify does, which refuses the
 * request with a problem, or ends the connection after the answer.
 */
export const isAdmitted = (facts: HeadFacts, state: Health['state']): boolean =>
  admit(facts, state) === null && !isLastOfConnection(state)
