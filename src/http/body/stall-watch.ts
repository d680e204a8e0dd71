const SWEEP_MS = 1_000

interface Watched {
  deadlineMs: number
  onPassed: () => void
}

const watched = new Set<Watched>()
let sweeper: NodeJS.Timeout | undefined

const sweep = (): void => {
  const nowMs = performance.now()
  for (const one of watched) {
    if (one.deadlineMs > nowMs) continue
    watched.delete(one)
    one.onPassed()
  }
}

/**
 * Calls `onPassed` once `performance.now()` is past `deadlineMs`, up to a second late, unless the returned function is called before.
 * For what almost always ends in time, thousands of times a second: a timer of its own would cost more than a microsecond each.
 */
export const watchStall = (deadlineMs: number, onPassed: () => void): (() => void) => {
  sweeper ??= setInterval(sweep, SWEEP_MS).unref()
  const one: Watched = { deadlineMs, onPassed }
  watched.add(one)
  return () => watched.delete(one)
}
