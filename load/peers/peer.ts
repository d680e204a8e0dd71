/** The options of a comparison, and the reason why it may be missing. */

export interface PeerOptions {
  /** The Python that has NumPy and the frameworks installed. */
  python: string
  /** Only peers whose name matches. */
  pattern: RegExp
  outPath: string
  /** Words before the command of every server, which hold it to its cores. */
  prefix: string[]
}

export interface Skipped {
  name: string
  reason: string
}
