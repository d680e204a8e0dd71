/** Maps the arrays of a snapshot file to the memory of a version. */
import type { SegmentHandle } from '../tables/handles.ts'
import { ROWS_AT, rowBytes } from '../layout/table-layout.ts'
import { assert } from '../core/assert.ts'
import type { SnapshotFacts } from './snapshot-format.ts'

/** The memory that a snapshot is written from, or read into. */
export interface SnapshotMemory {
  segments: readonly SegmentHandle[]
  /** If this is null although the facts have state, the state is skipped when the file is read. */
  state: { segments: readonly SegmentHandle[]; touched: Uint8Array } | null
}

/** A range of the arrays of a file, and its place in memory. */
interface Span {
  at: number
  bytes: number
  /** The place in memory; null if there is none. */
  memory: { buffer: ArrayBufferLike; at: number } | null
}

/** Lists the places in memory of the arrays of a snapshot file, in the order of the file. */
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

/**
 * Makes views of the bytes `at`..`at + bytes` of the arrays. Bytes without a place in memory get new memory.
 */
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
