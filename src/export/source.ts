/** The rows that an export copies: those of a version, and those of its optimizer state. */
import { assert } from '../core/assert.ts'
import { rowBytes, ROWS_AT } from '../layout/table-layout.ts'
import { stateLength } from '../optimizers/state-tensors.ts'
import type { VersionHandle } from '../tables/handles.ts'
import type { ExportedState, PreImages } from '../writer/protocol.ts'

/** Rows that an export reads: those of a table, or those of its optimizer state. */
export interface ExportSource {
  rowBytes: number
  /**
   * Whether the writer may overwrite the rows while they are copied. If so, the caller must request their
   * pre-images afterwards.
   */
  isWritten: boolean
  /** Copies rows as they are stored into new memory. They may be torn if the writer writes meanwhile. */
  copy(firstRow: number, rowCount: number): Buffer
}

/** The rows of a version, in their stored bytes. */
export const readTableRows = (handle: VersionHandle): ExportSource => ({
  rowBytes: rowBytes(handle.dim, handle.dtype),
  isWritten: true,
  copy: (firstRow, rowCount) => copyRows(handle, firstRow, rowCount),
})

/** The state rows of a table of `dim` numbers. A row that has taken no gradient yet has the initial value. */
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
    // State memory that was never written is already zero.
    if (initial === 0) return rows
    for (let i = 0; i < rowCount; i++)
      if (memory.touched[firstRow + i] === 0) untouchedRow.copy(rows, i * source.rowBytes)
    return rows
  }
  return { ...source, copy }
}

/**
 * Copies rows as they are stored into new memory. They may be torn if the writer writes meanwhile: {@link
 * patchRows} repairs them.
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
    // Buffer.copy is used because the `set` of a typed array copies out of shared memory byte by byte, unless
    // source and target are aligned alike.
    Buffer.from(segment.memory.buffer, at, (to - from) * storedBytes).copy(
      target,
      (from - firstRow) * storedBytes,
    )
  }
  return target
}

/** Replaces copied rows by their pre-images. `firstRow` is the first of the copied rows. */
export const patchRows = (
  target: Buffer,
  firstRow: number,
  storedBytes: number,
  { rows, bytes }: PreImages,
): void => {
  assert(bytes.length === rows.length * storedBytes, 'there is one pre-image for each row')
  for (let i = 0; i < rows.length; i++) {
    target.set(bytes.subarray(i * storedBytes, (i + 1) * storedBytes), (rows[i] - firstRow) * storedBytes)
  }
}
