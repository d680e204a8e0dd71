/** Tells a second request to stop from an echo of the first. */
import process from 'node:process'

/**
 * npm passes the signals that it gets on, and a terminal or a supervisor may send the same one to the whole
 * group of processes, so one Ctrl-C arrives twice. Nobody presses it again this fast.
 */
const ECHO_MS = 250

/** The signals that ask for a shutdown. */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM'] as const
export type StopSignal = (typeof STOP_SIGNALS)[number]

/** Calls `stop` at the first of the signals and `end` at each later one, except for echoes. */
export const onStopSignals = (stop: (signal: StopSignal) => void, end: () => void): void => {
  let firstMs: number | undefined
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => {
      const nowMs = performance.now()
      if (firstMs === undefined) {
        firstMs = nowMs
        stop(signal)
      } else if (nowMs - firstMs >= ECHO_MS) end()
    })
  }
}
