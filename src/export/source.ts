import type { ExportedState } from '../writer/protocol.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { stateLength } from '../optimizers/state-tensors.ts'
import { copyRows } from './stored-rows.ts'

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
    // What was never written is zero.
    if (initial === 0) return rows
    for (let i = 0; i < rowCount; i++)
      if (memory.touched[firstRow + i] === 0) untouchedRow.copy(rows, i * source.rowBytes)
    return rows
  }
  return { ...source, copy }
}
