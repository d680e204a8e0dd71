import type { Terminal } from './command.ts'
import { formatBytes, formatDuration, formatRate } from './formatting.ts'

const REDRAW_MS = 100
const LINE_MS = 5_000
/** The rate is that of the last seconds: a pause or a resumed part is not to be averaged in for ever. */
const WINDOW_MS = 5_000
const ERASE_LINE = '\r\x1b[K'

export interface Progress {
  /** `bytes` more are done; less, when negative: what has to be sent again. */
  add: (bytes: number) => void
  /** Shows what is being waited for, where somebody watches. */
  wait: (what: string) => void
  /** A line for people, without breaking the one that is being redrawn. */
  tell: (line: string) => void
  /** Removes the line that is being redrawn. */
  end: () => void
}

/**
 * Shows how far `what` is: one line that is redrawn where somebody watches, else a line every few seconds. `doneBytes` of
 * `totalBytes` were there before; null: nobody knows how many there will be.
 */
export const showProgress = (
  terminal: Pick<Terminal, 'report' | 'isWatched'>,
  what: string,
  totalBytes: number | null,
  doneBytes = 0,
  now: () => number = () => performance.now(),
): Progress => {
  let done = doneBytes
  let drawnAt = now()
  let isDrawn = false
  const samples = [{ at: drawnAt, done }]
  const erase = (): void => {
    if (isDrawn) terminal.report(ERASE_LINE)
    isDrawn = false
  }
  const draw = (at: number): void => {
    while (samples.length > 1 && at - samples[1].at >= WINDOW_MS) samples.shift()
    const oldest = samples[0]
    const text = describeProgress(done, totalBytes, done - oldest.done, at - oldest.at)
    terminal.report(terminal.isWatched ? `${ERASE_LINE}${what}  ${text}` : `${what}  ${text}\n`)
    isDrawn = terminal.isWatched
    drawnAt = at
    samples.push({ at, done })
  }
  return {
    add: (bytes) => {
      done += bytes
      const at = now()
      if (at - drawnAt >= (terminal.isWatched ? REDRAW_MS : LINE_MS)) draw(at)
    },
    wait: (waited) => {
      if (!terminal.isWatched) return
      terminal.report(`${ERASE_LINE}${what}  ${waited}`)
      isDrawn = true
    },
    tell: (line) => {
      erase()
      terminal.report(`${line}\n`)
    },
    end: erase,
  }
}

/** `45 %  1.2 of 2.7 GB  310 MB/s  5 s left`, of a rate of `movedBytes` in `ms`. */
export const describeProgress = (
  doneBytes: number,
  totalBytes: number | null,
  movedBytes: number,
  ms: number,
): string => {
  const rate = formatRate(Math.max(0, movedBytes), ms)
  if (totalBytes === null) return `${formatBytes(doneBytes)}  ${rate}`
  // Never 100 before all of it is done.
  const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)
  const left = movedBytes > 0 ? `  ${formatDuration(((totalBytes - doneBytes) / movedBytes) * ms)} left` : ''
  return `${percent} %  ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}  ${rate}${left}`
}
