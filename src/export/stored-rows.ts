import { assert } from '../core/assert.ts'
import type { PreImages } from '../writer/protocol.ts'
import type { VersionHandle } from '../tables/handles.ts'
import { rowBytes, ROWS_AT } from '../layout/table-layout.ts'

/** Copies rows as they are stored into memory of their own. They may be torn when the writer writes meanwhile: see {@link patchRows}. */
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
    // The copy of a Buffer: a typed array's `set` out of shared memory goes byte by byte unless both ends are aligned alike.
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
