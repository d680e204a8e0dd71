/** Decides which requests the fast path may answer. */
import { admit, type HeadFacts, isLastOfConnection, type ServiceFacts } from '../admit.ts'

/**
 * Whether the fast path may answer a request with this head now. Otherwise Fastify answers: it refuses the
 * request with a problem, or closes the connection after the answer.
 */
export const isAdmitted = (facts: HeadFacts, service: ServiceFacts): boolean =>
  admit(facts, service) === null && !isLastOfConnection(service)
