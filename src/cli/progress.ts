/** Shows the progress of a transfer on standard error. */
import type { Terminal } from './command.ts'
import { formatBytes, formatDuration, formatRate } from './formatting.ts'

const REDRAW_MS = 100
const LINE_MS = 5_000
/**
 * The rate is averaged over the last seconds, so that a pause or a resumed transfer does not distort it for
 * long.
 */
const WINDOW_MS = 5_000
const ERASE_LINE = '\r\x1b[K'

export interface Progress {
  /** Reports that `bytes` more are done. A negative number takes back bytes that have to be sent again. */
  add: (bytes: number) => void
  /** Shows on a terminal what the command waits for. */
  wait: (what: string) => void
  /** Writes a line of its own and erases the line that is being redrawn. */
  tell: (line: string) => void
  /** Erases the line that is being redrawn. */
  end: () => void
}

/**
 * Shows the progress of `what`: on a terminal one line that is redrawn, otherwise a line every few seconds.
 * `doneBytes` of `totalBytes` were done before; `totalBytes` is null when the length is unknown.
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

/** Formats progress as `45 %  1.2 of 2.7 GB  310 MB/s  5 s left`, at a rate of `movedBytes` in `ms`. */
export const describeProgress = (
  doneBytes: number,
  totalBytes: number | null,
  movedBytes: number,
  ms: number,
): string => {
  const rate = formatRate(Math.max(0, movedBytes), ms)
  if (totalBytes === null) return `${formatBytes(doneBytes)}  ${rate}`
  // Rounding down keeps 100 % for the end.
  const percent = totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)
  const left = movedBytes > 0 ? `  ${formatDuration(((totalBytes - doneBytes) / movedBytes) * ms)} left` : ''
  return `${percent} %  ${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}  ${rate}${left}`
}
