import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { ArrayFormat, NamedArraysFormat } from '../formats/format.ts'
import type { ByteRange } from '../formats/shape.ts'
import type { Arena } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { STEP_NAME } from '../optimizers/state-tensors.ts'
import type { UploadBody } from './body.ts'
import type { UploadPlan } from './plan.ts'
import { refuseNonFinite, RowLoader } from './row-loader.ts'
import type { StatePlan } from './state.ts'

/**
 * Takes the bytes `begin`..`end` of a body, in order and in pieces cut anywhere. Closed at the end, read or
 * not.
 */
export interface Sink extends ByteRange {
  /** To be called, and when it returns a promise awaited, before each `write` of `byteCount` bytes. */
  prepare(byteCount: number): Promise<void> | null
  write(bytes: Uint8Array): void
  close(): void
  /** Refuses NON_FINITE for the first number that is not finite. */
  checkFinite(): void
}

/** Adds to `sinks` those of the rows of a table. Refuses OVERLOADED when the arena has no room. */
export const openRowSink = (
  sinks: Sink[],
  arena: Arena,
  segments: readonly SegmentHandle[],
  plan: UploadPlan,
): void => {
  const writer = new RowLoader(arena, segments, plan)
  const range = { begin: plan.dataBegin, end: plan.dataEnd }
  sinks.push(loaderSink(writer, range, () => refuseNonFinite(writer.firstNonFinite, plan)))
}

/**
 * Adds to `sinks` those of the arrays of optimizer state, but for the step. Refuses as {@link openRowSink}.
 */
export const openStateSinks = (
  sinks: Sink[],
  arena: Arena,
  segments: readonly SegmentHandle[],
  { length, tensors }: StatePlan,
): void => {
  for (const { name, from, width, begin, end } of tensors) {
    const within = width === length ? undefined : { from, length }
    const writer = new RowLoader(arena, segments, {
      dim: width,
      sourceType: 'float32',
      dtype: 'float32',
      within,
    })
    const checkFinite = (): void => {
      const at = writer.firstNonFinite
      if (at >= 0)
        refuse('NON_FINITE', `${name} is not finite at row ${Math.floor(at / width)}, column ${at % width}`)
    }
    sinks.push(loaderSink(writer, { begin, end }, checkFinite))
  }
}

/** The sink of a range that a writer takes. */
export const loaderSink = (writer: RowLoader, { begin, end }: ByteRange, checkFinite: () => void): Sink => ({
  begin,
  end,
  prepare: (byteCount) => writer.prepare(byteCount),
  write: (bytes) => writer.write(bytes),
  close: () => writer.close(),
  checkFinite,
})

/**
 * Adds to `sinks` one that keeps its bytes, of which there are few. What it returns gives them, when the body
 * was read.
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
 * Adds to `sinks` that of the count of gradient steps. What it returns reads the count; it refuses
 * INVALID_REQUEST for what is none.
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

/** Takes the header of a body of this format; fewer bytes when the body ends inside of it. */
export const takeHeader = async (
  body: UploadBody,
  { prefixBytes, measureHeader }: ArrayFormat | NamedArraysFormat,
): Promise<Uint8Array> => {
  const prefix = await body.take(prefixBytes)
  const headerBytes = measureHeader(prefix)
  if (headerBytes === null || headerBytes <= prefix.length) return prefix
  const rest = await body.take(headerBytes - prefix.length)
  return Buffer.concat([prefix, rest])
}

/**
 * Hands each of `sinks` its bytes. Refuses MALFORMED_BODY, with the text of `describe`, unless the body has
 * exactly `bodyBytes`.
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
    if (chunkEnd > bodyBytes) refuse('MALFORMED_BODY', `${describe()}, it goes on: at least ${chunkEnd} came`)
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
