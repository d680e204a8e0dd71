/**
 * Writes int8 rows that arrive as they are stored: dim bytes, float32 scale, float32 bias, which is the
 * layout of FBGEMM and torchrec too. They are not quantised again, so the table is the same to the bit.
 */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { int8BiasAt, int8ScaleAt, rowBytes, ROWS_AT } from '../layout/table-layout.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import type { Sink } from './sink.ts'
import type { StoredPart } from './finish-plan.ts'

/** After so many rows the event loop gets a turn. */
const ROWS_PER_TURN = 1 << 18

/** Makes the sink for one part of the rows: the bytes `from`..`from + width` of each. */
export const openStoredSink = (
  segments: readonly SegmentHandle[],
  dim: number,
  { begin, end, from, width }: StoredPart,
): Sink => {
  let written = 0
  let segmentIndex = 0
  const storedBytes = rowBytes(dim, 'int8')
  const write = (bytes: Uint8Array): void => {
    const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    for (let copied = 0; copied < source.length; ) {
      const row = Math.floor(written / width)
      let segment = segments[segmentIndex]
      while (row >= segment.firstRow + segment.rowCount) segment = segments[++segmentIndex]
      assert(segment !== undefined, 'no more is written than the table holds')
      const inRow = written % width
      // Whole rows follow each other without gaps.
      const room =
        width === storedBytes ? (segment.firstRow + segment.rowCount - row) * width - inRow : width - inRow
      const count = Math.min(source.length - copied, room)
      const at = ROWS_AT + (row - segment.firstRow) * storedBytes + from + inRow
      source.copy(new Uint8Array(segment.memory.buffer, at, count), 0, copied, copied + count)
      copied += count
      written += count
    }
  }
  return { begin, end, prepare: () => null, write, close: () => {}, checkFinite: () => {} }
}

/**
 * Refuses NON_FINITE for the first row with a number that is not finite: byte * scale + bias is monotonous,
 * so that the smallest and the largest byte of a row decide.
 */
export const checkStoredRows = async (segments: readonly SegmentHandle[], dim: number): Promise<void> => {
  const storedBytes = rowBytes(dim, 'int8')
  for (const { memory, firstRow, rowCount } of segments) {
    for (let row = 0; row < rowCount; row++) {
      if (row % ROWS_PER_TURN === ROWS_PER_TURN - 1) await new Promise(setImmediate)
      const view = new DataView(memory.buffer, ROWS_AT + row * storedBytes, storedBytes)
      const scale = view.getFloat32(int8ScaleAt(dim), true)
      const bias = view.getFloat32(int8BiasAt(dim), true)
      if (Number.isFinite(Math.fround(255 * scale + bias)) && Number.isFinite(bias)) continue
      const column = findNonFinite(new Uint8Array(memory.buffer, view.byteOffset, dim), scale, bias)
      if (column < 0) continue
      refuse(
        'NON_FINITE',
        `the value at row ${firstRow + row}, column ${column} is not finite: its byte times the scale ` +
          `${scale} plus the bias ${bias}; ?allow_non_finite=true stores it anyway`,
      )
    }
  }
}

const findNonFinite = (bytes: Uint8Array, scale: number, bias: number): number =>
  bytes.findIndex((byte) => !Number.isFinite(Math.fround(byte * scale + bias)))
