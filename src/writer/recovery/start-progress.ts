/** Shows the progress of loading tables at a start. */
import type { LoadProgress } from './recover.ts'

const LINE_EVERY_MS = 2_000
const REDRAW_EVERY_MS = 100
const BAR_LENGTH = 30
const MiB = 1024 * 1024

/** The output, usually standard error. */
export interface ProgressOutput {
  isTTY?: boolean
  write(text: string): unknown
}

/** Reports the progress of loading: a bar on a terminal, otherwise a log line every two seconds. */
export class StartProgress {
  readonly #output: ProgressOutput
  readonly #nowMs: () => number
  readonly #startMs: number
  #toldAtMs: number
  #hasBar = false
  #loadedBytes = 0

  constructor(output: ProgressOutput, nowMs: () => number = () => performance.now()) {
    this.#output = output
    this.#nowMs = nowMs
    this.#startMs = nowMs()
    this.#toldAtMs = this.#startMs
  }

  tell(progress: LoadProgress): void {
    this.#loadedBytes = progress.loadedBytes
    const nowMs = this.#nowMs()
    const isWatched = this.#output.isTTY === true
    if (nowMs - this.#toldAtMs < (isWatched ? REDRAW_EVERY_MS : LINE_EVERY_MS)) return
    this.#toldAtMs = nowMs
    const { table, version, loadedBytes, totalBytes, loadedRows, totalRows } = progress
    const share = totalBytes === 0 ? 1 : loadedBytes / totalBytes
    const elapsedMs = nowMs - this.#startMs
    const etaSeconds = share === 0 ? null : Math.ceil((elapsedMs * (1 - share)) / share / 1_000)
    const mibPerSecond = Math.round(loadedBytes / MiB / Math.max(elapsedMs / 1_000, 0.001))
    if (!isWatched) {
      const facts = {
        table,
        version,
        loadedBytes,
        totalBytes,
        loadedRows,
        totalRows,
        mibPerSecond,
        etaSeconds,
      }
      this.#output.write(
        `${JSON.stringify({ level: 30, time: Date.now(), name: 'writer', msg: 'loading', ...facts })}\n`,
      )
      return
    }
    this.#hasBar = true
    const bar = '#'.repeat(Math.round(share * BAR_LENGTH)).padEnd(BAR_LENGTH, '.')
    const eta = etaSeconds === null ? '' : `, ${etaSeconds} s left`
    this.#output.write(
      `\r\u001b[2K${bar} ${Math.floor(share * 100)}% ${table}: ${loadedRows} of ${totalRows} rows, ` +
        `${mibPerSecond} MiB/s${eta}`,
    )
  }

  /** Erases the bar. If anything was loaded, a log line reports how much and how long it took. */
  end(): void {
    if (this.#hasBar) this.#output.write('\r\u001b[2K')
    if (this.#loadedBytes === 0) return
    const facts = { loadedBytes: this.#loadedBytes, ms: Math.round(this.#nowMs() - this.#startMs) }
    this.#output.write(
      `${JSON.stringify({ level: 30, time: Date.now(), name: 'writer', msg: 'loaded', ...facts })}\n`,
    )
  }
}
