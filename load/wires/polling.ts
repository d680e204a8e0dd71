/**
 * Keeps a client with a core of its own from sleeping. The server would have to wake it, and pay for an
 * interrupt to another core, the more often the slower it is. No server wakes a client on another machine.
 */

export interface Polling {
  /** Milliseconds since the start in which there was nothing to do: no work of the client. */
  idleMs(): number
  /** Says that the current turn had something to do. */
  work(): void
  stop(): void
}

/**
 * Keeps the event loop of this thread turning until it is stopped. With `on` false nothing is done, and no
 * time is idle.
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
