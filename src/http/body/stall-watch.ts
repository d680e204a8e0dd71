const SWEEP_MS = 1_000

interface Watched {
  deadlineMs: number
  onPassed: () => void
}

/**
 * Deadlines of bodies and answers that almost always end in time, thousands of times a second. One timer
 * sweeps them all, because a timer each would cost more than a microsecond.
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
    const one: Watched = { deadlineMs, onPassed }
    this.#watched.add(one)
    return () => this.#watched.delete(one)
  }

  readonly #sweep = (): void => {
    const nowMs = performance.now()
    for (const one of this.#watched) {
      if (one.deadlineMs > nowMs) continue
      this.#watched.delete(one)
      one.onPassed()
    }
    // An idle service has no timer, and one that is closed leaves none behind.
    if (this.#watched.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}
