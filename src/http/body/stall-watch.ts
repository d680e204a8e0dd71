/** Watches the deadlines of bodies and answers. */

const SWEEP_MS = 1_000

interface Watched {
  deadlineMs: number
  onPassed: () => void
}

/**
 * The deadlines of bodies and answers. Thousands are set each second and almost all are met. One timer checks
 * them all, because setting a timer for each would cost more than a microsecond.
 */
export class StallWatch {
  readonly #watched = new Set<Watched>()
  #sweeper: NodeJS.Timeout | undefined

  /**
   * Calls `onPassed` once `performance.now()` is past `deadlineMs`, up to a second late, unless the
   * returned function is called before.
   */
  watch(deadlineMs: number, onPassed: () => void): () => void {
    this.#sweeper ??= setInterval(this.#sweep, SWEEP_MS).unref()
    const entry: Watched = { deadlineMs, onPassed }
    this.#watched.add(entry)
    return () => this.#watched.delete(entry)
  }

  readonly #sweep = (): void => {
    const nowMs = performance.now()
    for (const entry of this.#watched) {
      if (entry.deadlineMs > nowMs) continue
      this.#watched.delete(entry)
      entry.onPassed()
    }
    // The timer stops when there is nothing to watch, so that a closed service leaves none behind.
    if (this.#watched.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}
