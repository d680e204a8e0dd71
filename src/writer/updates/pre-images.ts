/** The pre-images that the writer records for a running export. */
import { GatherdError } from '../../core/errors.ts'
import type { PreImages } from '../protocol.ts'

/**
 * The pre-images of rows that updates have overwritten since an export of a version began. Only the first
 * change of a row is recorded: those bytes are the row at the sequence of the export. A row without a
 * pre-image has not changed since.
 */
export class PreImageLog {
  /** The rows that the log covers: those of a table version, or those of its state. */
  readonly source: { readonly rowBytes: number }
  readonly #rowBytes: number
  readonly #bytesMax: number
  readonly #rows = new Map<number, Uint8Array>()
  #overflowed = false

  constructor(source: { readonly rowBytes: number }, bytesMax: number) {
    this.source = source
    this.#rowBytes = source.rowBytes
    this.#bytesMax = bytesMax
  }

  /**
   * Records rows that are about to be overwritten. `bytes` has their current bytes, rows.length x rowBytes.
   */
  record(rows: Int32Array, bytes: Uint8Array): void {
    if (this.#overflowed) return
    for (let i = 0; i < rows.length; i++) {
      if (this.#rows.has(rows[i])) continue
      if ((this.#rows.size + 1) * this.#rowBytes > this.#bytesMax) {
        this.#overflowed = true
        this.#rows.clear()
        return
      }
      this.#rows.set(rows[i], bytes.slice(i * this.#rowBytes, (i + 1) * this.#rowBytes))
    }
  }

  /**
   * Returns the pre-images within firstRow..firstRow+rowCount-1. Refuses OVERLOADED when updates changed more
   * than the log may store.
   */
  read(firstRow: number, rowCount: number): PreImages {
    if (this.#overflowed) {
      throw new GatherdError(
        'OVERLOADED',
        'updates changed too many rows while the table was being exported; export it again',
      )
    }
    const inside: [number, Uint8Array][] = []
    for (let row = firstRow; row < firstRow + rowCount && this.#rows.size > 0; row++) {
      const old = this.#rows.get(row)
      if (old !== undefined) inside.push([row, old])
    }
    const bytes = new Uint8Array(inside.length * this.#rowBytes)
    inside.forEach(([, old], i) => bytes.set(old, i * this.#rowBytes))
    return { rows: Int32Array.from(inside, ([row]) => row), bytes }
  }
}
