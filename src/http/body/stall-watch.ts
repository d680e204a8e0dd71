/** Watches bodies, answers and closing connections for progress. */

const SWEEP_MS = 1_000

/** The least progress that a transfer must make. */
export interface Pace {
  /** It may stand still for this long. */
  silenceMs: number
  /** Its slowest average, beyond one `silenceMs` at the start; 0 for any. */
  bytesPerSecondMin: number
}

interface Watched {
  progress: () => number
  pace: Pace
  onStalled: () => void
  sinceMs: number
  /** The progress at the last sweep, and when it was last seen to move. */
  bytes: number
  movedAtMs: number
}

/**
 * Ends transfers that make no progress. Time counts from the last progress and never from the start, because
 * a client on a slow line is no stalled one. Thousands of transfers begin each second and almost all of them
 * end at once. One timer looks at them all, because a timer for each would cost more than a microsecond.
 */
export class StallWatch {
  readonly #watched = new Set<Watched>()
  #sweeper: NodeJS.Timeout | undefined

  /**
   * Calls `onStalled` once `progress`, a count of bytes, has moved less than `pace` demands, up to two
   * seconds late, unless the returned function is called before.
   */
  watch(progress: () => number, pace: Pace, onStalled: () => void): () => void {
    this.#sweeper ??= setInterval(this.#sweep, SWEEP_MS).unref()
    const nowMs = performance.now()
    const entry: Watched = { progress, pace, onStalled, sinceMs: nowMs, bytes: progress(), movedAtMs: nowMs }
    this.#watched.add(entry)
    return () => this.#watched.delete(entry)
  }

  readonly #sweep = (): void => {
    const nowMs = performance.now()
    for (const entry of this.#watched) {
      if (!hasStalled(entry, nowMs)) continue
      this.#watched.delete(entry)
      entry.onStalled()
    }
    // The timer stops when there is nothing to watch, so that a closed service leaves none behind.
    if (this.#watched.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

const hasStalled = (entry: Watched, nowMs: number): boolean => {
  const { pace, sinceMs } = entry
  const bytes = entry.progress()
  if (bytes !== entry.bytes) {
    entry.bytes = bytes
    entry.movedAtMs = nowMs
  }
  if (nowMs - entry.movedAtMs >= pace.silenceMs) return true
  return pace.bytesPerSecondMin > 0 && nowMs - sinceMs >= allowedMs(pace, bytes)
}

/** The time that a transfer of `bytes` bytes may have taken so far. */
export const allowedMs = ({ silenceMs, bytesPerSecondMin }: Pace, bytes: number): number =>
  bytesPerSecondMin === 0 ? Number.POSITIVE_INFINITY : silenceMs + (bytes / bytesPerSecondMin) * 1_000
