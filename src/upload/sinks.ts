/** Distributes the bytes of a body to sinks, each of which receives one range. */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { ByteRange } from '../formats/shape.ts'
import type { Arena } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { STEP_NAME } from '../optimizers/state-tensors.ts'
import type { UploadBody } from './body.ts'
import type { UploadPlan } from './finish-plan.ts'
import type { Sink } from './sink.ts'
import { ColumnLoader } from './column-loader.ts'
import { type ElementLoader, refuseNonFinite, RowLoader } from './row-loader.ts'
import { checkStoredRows, openStoredSink } from './stored-rows.ts'
import type { StatePlan } from './state.ts'

/** Adds the sink for the rows of a table to `sinks`. Refuses OVERLOADED when the arena has no room. */
export const openRowSink = (
  sinks: Sink[],
  arena: Arena,
  segments: readonly SegmentHandle[],
  plan: UploadPlan,
): void => {
  if (plan.storedParts !== undefined) {
    for (const part of plan.storedParts) sinks.push(openStoredSink(segments, plan.dim, part))
    sinks[sinks.length - 1].checkFinite = () => checkStoredRows(segments, plan.dim)
    return
  }
  const { dtype } = plan
  const loader: ElementLoader =
    plan.isColumnOrder === true && dtype !== 'int8'
      ? new ColumnLoader(arena, segments, { ...plan, dtype })
      : new RowLoader(arena, segments, plan)
  const range = { begin: plan.dataBegin, end: plan.dataEnd }
  sinks.push(loaderSink(loader, range, () => refuseNonFinite(loader.firstNonFinite, plan)))
}

/**
 * Adds the sinks for the arrays of optimizer state to `sinks`, without that of the step. Refuses as {@link
 * openRowSink}.
 */
export const openStateSinks = (
  sinks: Sink[],
  arena: Arena,
  segments: readonly SegmentHandle[],
  { length, tensors }: StatePlan,
): void => {
  for (const { name, from, width, begin, end } of tensors) {
    const within = width === length ? undefined : { from, length }
    const loader = new RowLoader(arena, segments, {
      dim: width,
      sourceType: 'float32',
      dtype: 'float32',
      within,
    })
    const checkFinite = (): void => {
      const at = loader.firstNonFinite
      if (at >= 0)
        refuse('NON_FINITE', `${name} is not finite at row ${Math.floor(at / width)}, column ${at % width}`)
    }
    sinks.push(loaderSink(loader, { begin, end }, checkFinite))
  }
}

/** Makes the sink of a range that a row loader writes. */
export const loaderSink = (
  loader: ElementLoader,
  { begin, end }: ByteRange,
  checkFinite: () => void,
): Sink => ({
  begin,
  end,
  prepare: (byteCount) => loader.prepare(byteCount),
  write: (bytes) => loader.write(bytes),
  close: () => loader.close(),
  checkFinite,
})

/**
 * Adds a sink that stores its few bytes to `sinks`. The returned function returns them after the body was
 * read.
 */
export const openBytesSink = (sinks: Sink[], { begin, end }: ByteRange): (() => Uint8Array<ArrayBuffer>) => {
  const bytes = new Uint8Array(end - begin)
  let filled = 0
  const write = (piece: Uint8Array): void => {
    bytes.set(piece, filled)
    filled += piece.length
  }
  sinks.push({ begin, end, prepare: () => null, write, close: () => {}, checkFinite: () => {} })
  return () => {
    assert(filled === bytes.length, 'a range is read when the body is')
    return bytes
  }
}

/**
 * Adds the sink for the count of gradient steps to `sinks`. The returned function reads the count, and
 * refuses INVALID_REQUEST for a number that is no count.
 */
export const openStepSink = (sinks: Sink[], range: ByteRange): (() => number) => {
  const readBytes = openBytesSink(sinks, range)
  return () => {
    const step = Number(new DataView(readBytes().buffer).getBigInt64(0, true))
    if (step < 0 || !Number.isSafeInteger(step))
      refuse('INVALID_REQUEST', `${STEP_NAME} is a count of gradient steps, not ${step}`)
    return step
  }
}

/**
 * Writes the bytes of a body to `sinks`. Refuses MALFORMED_BODY, with the text of `describe`, unless the body
 * has exactly `bodyBytes`.
 */
export const writeBody = async (
  body: UploadBody,
  bodyBytes: number,
  describe: () => string,
  sinks: readonly Sink[],
): Promise<void> => {
  for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) {
    const chunkEnd = body.receivedBytes
    const chunkBegin = chunkEnd - chunk.length
    if (chunkEnd > bodyBytes) refuse('MALFORMED_BODY', `${describe()}, it has at least ${chunkEnd}`)
    for (const sink of sinks) {
      const begin = Math.max(sink.begin, chunkBegin)
      const end = Math.min(sink.end, chunkEnd)
      if (begin >= end) continue
      const isReady = sink.prepare(end - begin)
      if (isReady !== null) await isReady
      sink.write(chunk.subarray(begin - chunkBegin, end - chunkBegin))
    }
  }
  if (body.receivedBytes < bodyBytes)
    refuse('MALFORMED_BODY', `${describe()}, it ended after ${body.receivedBytes}`)
}
