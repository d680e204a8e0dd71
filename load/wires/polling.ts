/**
 * Keeps a client with a core of its own from sleeping. The server would have to wake it, and pay for an
 * interrupt to another core, the more often the slower it is. No server wakes a client on another machine.
 */

export interface Polling {
  /** Milliseconds since the start in which the client had no work. */
  idleMs(): number
  /** Reports that the current round of the event loop had work. */
  work(): void
  stop(): void
}

/**
 * Keeps the event loop of this thread running until it is stopped. With `on` false it does nothing, and no
 * time counts as idle.
 */
export function startPolling(on: boolean): Polling {
  let idle = 0
  let worked = true
  let turnedMs = performance.now()
  let turning = on
  const turn = (): void => {
    if (!turning) return
    const now = performance.now()
    if (!worked) idle += now - turnedMs
    turnedMs = now
    worked = false
    setImmediate(turn)
  }
  turn()
  return {
    idleMs: () => idle,
    work: () => {
      worked = true
    },
    stop: () => {
      turning = false
    },
  }
}
