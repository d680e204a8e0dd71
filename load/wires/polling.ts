/**
 * A client with a core of its own never sleeps: a sleeping one is woken by the server, which pays for that with an interrupt to another
 * core, and the slower the server the more often. A client on another machine would not be woken by the server either.
 */

export interface Polling {
  /** Milliseconds since the start in which there was nothing to do: no work of the client. */
  idleMs(): number
  /** Says that the current turn had something to do. */
  work(): void
  stop(): void
}

/** Keeps the event loop of this thread turning until it is stopped. With `on` false nothing is done, and no time is idle. */
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
