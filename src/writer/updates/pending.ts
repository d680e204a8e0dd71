/** The rows that the updates of one batch have computed. */
import { assert } from '../../core/assert.ts'

/**
 * The rows of one version that updates of a batch have computed and that are not yet visible, as addresses of
 * their newest bytes in the writer's arena. A later update of the batch starts from these instead of from the
 * table. This is a hash table with open addressing, because it is filled and read once for every row of a
 * batch.
 */
export class PendingRows {
  #capacity = 0
  #count = 0
  #rows = new Int32Array(0)
  #rowAts = new Int32Array(0)
  /** Addresses of the states; 0 if the update wrote no state. */
  #stateAts = new Int32Array(0)

  get size(): number {
    return this.#count
  }

  /** Finds the place of a row for {@link PendingRows.rowAt} and {@link PendingRows.stateAt}, or -1. */
  find(row: number): number {
    if (this.#count === 0) return -1
    const at = this.#probe(row)
    return this.#rows[at] === row ? at : -1
  }

  /** Returns the address of the stored row. */
  rowAt(place: number): number {
    return this.#rowAts[place]
  }

  /** Returns the address of the row's state, or 0 if no update of the batch has changed the state. */
  stateAt(place: number): number {
    return this.#stateAts[place]
  }

  /**
   * Enters the new rows of an update. They are packed at `rowsAt`, `rowBytes` each, and so is their state
   * unless `stateAt` is 0.
   */
  enter(
    rows: Int32Array,
    at: { rowsAt: number; rowBytes: number; stateAt: number; stateBytes: number },
  ): void {
    this.#grow(this.#count + rows.length)
    for (let i = 0; i < rows.length; i++) {
      const place = this.#probe(rows[i])
      if (this.#rows[place] === -1) {
        this.#rows[place] = rows[i]
        this.#count++
      }
      this.#rowAts[place] = at.rowsAt + i * at.rowBytes
      if (at.stateAt !== 0) this.#stateAts[place] = at.stateAt + i * at.stateBytes
    }
  }

  #probe(row: number): number {
    const mask = this.#capacity - 1
    let at = (Math.imul(row, 0x9e3779b1) >>> 7) & mask
    while (this.#rows[at] !== -1 && this.#rows[at] !== row) at = (at + 1) & mask
    return at
  }

  #grow(count: number): void {
    if (count * 2 <= this.#capacity) return
    const before = {
      capacity: this.#capacity,
      rows: this.#rows,
      rowAts: this.#rowAts,
      stateAts: this.#stateAts,
    }
    this.#capacity = 2 ** Math.ceil(Math.log2(Math.max(64, count * 2)))
    this.#rows = new Int32Array(this.#capacity).fill(-1)
    this.#rowAts = new Int32Array(this.#capacity)
    this.#stateAts = new Int32Array(this.#capacity)
    for (let i = 0; i < before.capacity; i++) {
      if (before.rows[i] === -1) continue
      const place = this.#probe(before.rows[i])
      assert(this.#rows[place] === -1, 'each row is entered once')
      this.#rows[place] = before.rows[i]
      this.#rowAts[place] = before.rowAts[i]
      this.#stateAts[place] = before.stateAts[i]
    }
  }
}
