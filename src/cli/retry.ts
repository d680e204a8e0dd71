/** Repeats failed calls, with growing waits. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CallError } from './errors.ts'
import { formatDuration } from './formatting.ts'

const FIRST_WAIT_MS = 250
const WAIT_MS_MAX = 8_000
/** With the waits above, the tries take about a minute, in which a restarted service is back. */
const TRY_COUNT_MAX = 12
/**
 * The request may succeed later, unchanged: timeouts, limits, restarts, and the status of a proxy whose
 * service is away.
 */
const RETRYABLE_STATUSES = [408, 429, 502, 503, 504]
const IN_FLIGHT = 'IDEMPOTENCY_IN_FLIGHT'

export type Wait = (ms: number) => Promise<unknown>

export interface RetryOptions {
  /** Reports that there will be another try. */
  tell: (line: string) => void
  /**
   * Whether a call may be repeated when its outcome is unknown. Otherwise only a refused call is repeated.
   */
  isRepeatable: boolean
  wait?: Wait
}

/**
 * Calls `attempt` until it succeeds, fails for good, or has failed too often, and throws the last error.
 * Tries do not count while the service is still working on an attempt whose response was lost.
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
      // The random part keeps clients that were refused together from returning together.
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
