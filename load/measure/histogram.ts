/**
 * Records latencies in whole microseconds: autocannon's own histogram keeps whole milliseconds, more than
 * most answers take.
 */
import { build, type Histogram } from 'hdr-histogram-js'

const LATENCY_MAX_US = 600_000_000

/** Latency percentiles of one run. */
export interface Latency {
  p50Us: number
  p90Us: number
  p99Us: number
  p999Us: number
  maxUs: number
}

export interface LatencyHistogram {
  /**
   * `latencyMs` may be fractional; zero and less count as one microsecond, more than ten minutes as ten
   * minutes.
   */
  record(latencyMs: number): void
  /** Forgets all that was recorded, for the end of the warm-up. */
  reset(): void
  count(): number
  /** All zero when nothing was recorded. */
  read(): Latency
}

/** A histogram with three significant digits, so percentiles are at most 0.1 % above the true value. */
export function makeHistogram(): LatencyHistogram {
  const histogram: Histogram = build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: LATENCY_MAX_US,
    numberOfSignificantValueDigits: 3,
  })
  return {
    record: (latencyMs) =>
      histogram.recordValue(Math.min(Math.max(1, Math.round(latencyMs * 1_000)), LATENCY_MAX_US)),
    reset: () => histogram.reset(),
    count: () => histogram.totalCount,
    read: () => ({
      p50Us: histogram.getValueAtPercentile(50),
      p90Us: histogram.getValueAtPercentile(90),
      p99Us: histogram.getValueAtPercentile(99),
      p999Us: histogram.getValueAtPercentile(99.9),
      maxUs: histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(100),
    }),
  }
}
