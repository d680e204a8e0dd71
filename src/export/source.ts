import { assert } from '../core/assert.ts'
import { rowBytes, ROWS_AT } from '../layout/table-layout.ts'
import { stateLength } from '../optimizers/state-tensors.ts'
import type { VersionHandle } from '../tables/handles.ts'
import type { ExportedState, PreImages } from '../writer/protocol.ts'

/** Rows that an export reads: the table's, or those of its optimizer state. */
export interface ExportSource {
  rowBytes: number
  /** They may be overwritten while they are copied: what they were is to be asked for afterwards. */
  isWritten: boolean
  /** Copies rows as they are into memory of their own. They may be torn when the writer writes meanwhile. */
  copy(firstRow: number, rowCount: number): Buffer
}

/** The rows of a version, as stored. */
export const readTableRows = (handle: VersionHandle): ExportSource => ({
  rowBytes: rowBytes(handle.dim, handle.dtype),
  isWritten: true,
  copy: (firstRow, rowCount) => copyRows(handle, firstRow, rowCount),
})

/** State rows of a table of `dim`: the initial value where no gradient has been. */
export const readStateRows = ({ optimizer, initial, memory }: ExportedState, dim: number): ExportSource => {
  const length = stateLength(optimizer, dim)
  const source = { rowBytes: length * 4, isWritten: memory !== null }
  if (memory === null) {
    return {
      ...source,
      copy: (_firstRow, rowCount) => Buffer.from(new Float32Array(rowCount * length).fill(initial).buffer),
    }
  }
  const untouchedRow = Buffer.from(new Float32Array(length).fill(initial).buffer)
  const copy = (firstRow: number, rowCount: number): Buffer => {
    const rows = copyRows(memory.rows, firstRow, rowCount)
    // State that was never written is zero.
    if (initial === 0) return rows
    for (let i = 0; i < rowCount; i++)
      if (memory.touched[firstRow + i] === 0) untouchedRow.copy(rows, i * source.rowBytes)
    return rows
  }
  return { ...source, copy }
}

/**
 * Copies rows as they are stored into memory of their own. They may be torn when the writer writes meanwhile:
 * see {@link patchRows}.
 */
export const copyRows = (handle: VersionHandle, firstRow: number, rowCount: number): Buffer => {
  const { dim, dtype, rows, segments } = handle
  assert(firstRow >= 0 && firstRow + rowCount <= rows, 'the rows are in the table')
  const storedBytes = rowBytes(dim, dtype)
  const target = Buffer.allocUnsafeSlow(rowCount * storedBytes)
  const end = firstRow + rowCount
  for (const segment of segments) {
    const from = Math.max(firstRow, segment.firstRow)
    const to = Math.min(end, segment.firstRow + segment.rowCount)
    if (from >= to) continue
    const at = ROWS_AT + (from - segment.firstRow) * storedBytes
    // The copy of a Buffer: a typed array's `set` out of shared memory goes byte by byte unless both ends are
    // aligned alike.
    Buffer.from(segment.memory.buffer, at, (to - from) * storedBytes).copy(
      target,
      (from - firstRow) * storedBytes,
    )
  }
  return target
}

/** Puts old rows in their places among the copied ones, of which the first is `firstRow`. */
export const patchRows = (
  target: Buffer,
  firstRow: number,
  storedBytes: number,
  { rows, bytes }: PreImages,
): void => {
  assert(bytes.length === rows.length * storedBytes, 'one old row for each')
  for (let i = 0; i < rows.length; i++) {
    target.set(bytes.subarray(i * storedBytes, (i + 1) * storedBytes), (rows[i] - firstRow) * storedBytes)
  }
}
