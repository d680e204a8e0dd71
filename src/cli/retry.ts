import { setTimeout as sleep } from 'node:timers/promises'
import { CallError } from './errors.ts'
import { formatDuration } from './formatting.ts'

const FIRST_WAIT_MS = 250
const WAIT_MS_MAX = 8_000
/** Waits that add up to a minute: a service that is started anew is back by then. */
const TRY_COUNT_MAX = 12
/** Try again later, as it is: timeouts, limits, restarts, and what a proxy says while the service is away. */
const RETRYABLE_STATUSES = [408, 429, 502, 503, 504]
const IN_FLIGHT = 'IDEMPOTENCY_IN_FLIGHT'

export type Wait = (ms: number) => Promise<unknown>

export interface RetryOptions {
  /** Says that there will be another try. */
  tell: (line: string) => void
  /** Whether a call may be sent again though nobody knows what became of it. Else only one that was refused is. */
  isRepeatable: boolean
  wait?: Wait
}

/**
 * Calls `attempt` until it succeeds, fails for good, or has failed too often: then throws the last error. While the service is still at
 * work on an attempt whose answer was lost, that does not count.
 */
export const callRepeatedly = async <Answer>(
  attempt: () => Promise<Answer>,
  options: RetryOptions,
): Promise<Answer> => {
  const { tell, isRepeatable, wait = sleep } = options
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof CallError) || !isWorthRepeating(error, isRepeatable)) throw error
      if (error.code === IN_FLIGHT) tries = 1
      else if (tries === TRY_COUNT_MAX) throw error
      const backoffMs = Math.min(FIRST_WAIT_MS * 2 ** (tries - 1), WAIT_MS_MAX)
      // Of many clients that were refused together, not all are to come back together.
      const waitMs = Math.max(backoffMs * (0.5 + Math.random() / 2), error.waitMs ?? 0)
      tell(`${error.message}; trying again in ${formatDuration(waitMs)}`)
      await wait(waitMs)
    }
  }
}

const isWorthRepeating = ({ status, code }: CallError, isRepeatable: boolean): boolean => {
  if (status !== null) return RETRYABLE_STATUSES.includes(status) || code === IN_FLIGHT
  return isRepeatable || code === 'ECONNREFUSED'
}
