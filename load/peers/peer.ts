/** What a comparison needs to be started, and why it may be missing. */

export interface PeerOptions {
  /** The Python that has NumPy and the frameworks installed. */
  python: string
  /** Only peers whose name matches. */
  pattern: RegExp
  outPath: string
  /** What stands before the command of every server: where it may run. */
  prefix: string[]
}

export interface Skipped {
  name: string
  reason: string
}
