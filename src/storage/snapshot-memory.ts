import type { SegmentHandle } from '../tables/handles.ts'
import { ROWS_AT, rowBytes } from '../layout/table-layout.ts'
import { assert } from '../core/assert.ts'
import type { SnapshotFacts } from './snapshot-format.ts'

/** The memory that a snapshot is a picture of. */
export interface SnapshotMemory {
  segments: readonly SegmentHandle[]
  /** null while the facts have state: it is read over, and not kept. */
  state: { segments: readonly SegmentHandle[]; touched: Uint8Array } | null
}

/** A run of the arrays of a file, and where it lies in memory. */
interface Span {
  at: number
  bytes: number
  /** null: nowhere. */
  memory: { buffer: ArrayBufferLike; at: number } | null
}

/** The arrays of a snapshot file as memory, in the order of the file. */
export const layOutMemory = (facts: SnapshotFacts, memory: SnapshotMemory): readonly Span[] => {
  const spans: Span[] = []
  let at = 0
  const add = (bytes: number, place: Span['memory']): void => {
    if (bytes > 0) spans.push({ at, bytes, memory: place })
    at += bytes
  }
  const addRows = (segments: readonly SegmentHandle[], bytesPerRow: number): void => {
    assert(
      segments.reduce((sum, { rowCount }) => sum + rowCount, 0) === facts.rows,
      'segments hold every row',
    )
    for (const { memory, rowCount } of segments)
      add(rowCount * bytesPerRow, { buffer: memory.buffer, at: ROWS_AT })
  }
  const { state, rows } = facts
  if (state !== null && memory.state === null) add(rows * state.length * 4, null)
  else if (state !== null && memory.state !== null) addRows(memory.state.segments, state.length * 4)
  addRows(memory.segments, rowBytes(facts.dim, facts.dtype))
  if (state !== null) {
    const touched = memory.state?.touched
    assert(touched === undefined || touched.length === rows, 'a mark per row')
    add(rows, touched === undefined ? null : { buffer: touched.buffer, at: touched.byteOffset })
  }
  return spans
}

/** Views of what lies at `at`..`at + bytes` of the arrays; memory of its own where it lies nowhere. */
export const viewMemory = (spans: readonly Span[], at: number, bytes: number): Uint8Array[] => {
  const views: Uint8Array[] = []
  const end = at + bytes
  for (const span of spans) {
    const from = Math.max(at, span.at)
    const count = Math.min(end, span.at + span.bytes) - from
    if (count <= 0) continue
    const { memory } = span
    views.push(
      memory === null
        ? new Uint8Array(count)
        : new Uint8Array(memory.buffer, memory.at + from - span.at, count),
    )
  }
  return views
}
