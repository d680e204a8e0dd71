/** Decides which requests the fast path may answer. */
import { admit, type HeadFacts, isLastOfConnection } from '../admit.ts'
import type { Health } from '../context.ts'

/**
 * Whether the fast path may answer a request with this head now. Otherwise Fastify answers: it refuses the
 * request with a problem, or closes the connection after the answer.
 */
export const isAdmitted = (facts: HeadFacts, state: Health['state']): boolean =>
  admit(facts, state) === null && !isLastOfConnection(state)
