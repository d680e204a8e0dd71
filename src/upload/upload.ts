/**
 * Makes a table from a body that is still arriving: plans by its header, then writes the rows into shared
 * memory chunk by chunk.
 */
import { GatherdError } from '../core/errors.ts'
import type { Optimizer, Precondition, Settings } from '../core/types.ts'
import { checkDigest } from '../formats/digest.ts'
import { findFormat } from '../formats/format.ts'
import type { LocatedArrays } from '../formats/shape.ts'
import { DEFAULT_OPTIMIZER } from '../optimizers/complete.ts'
import type { Arena } from '../tables/arena.ts'
import { UploadBody } from './body.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import { bindBuild, type BuildKey, buildTable, type BuiltTable, type WriterConnection } from './build.ts'
import { describeSize } from './finish-plan.ts'
import { planArray, planNamedArray, planRaw } from './plan.ts'
import type { UploadOptions, UploadPlan } from './finish-plan.ts'
import { openRowSink, openStateSinks, openStepSink, writeBody } from './sinks.ts'
import type { Sink } from './sink.ts'
import { type HeaderMemory, readHeader } from './read-header.ts'
import { listStateNames, planState, type StatePlan } from './state.ts'

/** One PUT of a table with data. */
export interface Upload extends UploadOptions {
  name: string
  /** Chunks of any size. */
  body: AsyncIterable<Uint8Array>
  /**
   * Whether the memory of each chunk is freed after use. Only for a source that makes every chunk for its
   * reader, as node:http does. Otherwise up to 64 MiB of chunks wait for the garbage collector.
   */
  freesChunks?: boolean
  /**
   * Whether NaN and infinity are stored as they are. In int8 storage a row with one of them reads as NaN
   * throughout.
   */
  allowNonFinite: boolean
  /** The sha-256 that the body must have. */
  digest?: Uint8Array
  settings: Partial<Settings>
  precondition: Precondition
  key?: BuildKey
  /**
   * The optimizer that state in the body must belong to: the one that the request sets, or that of the table.
   */
  optimizer?: Optimizer
  /**
   * Reads the optimizer that the body names in its metadata, which is used when there is no `optimizer`.
   * Refuses INVALID_REQUEST for text that names none.
   */
  readOptimizer?: (text: string) => Optimizer
  /** Counts the memory of headers that are being received; by default that of this upload alone. */
  headers?: HeaderMemory
}

/** The plan of a body, with the optimizer that it names. */
interface BodyPlan {
  plan: UploadPlan
  state: StatePlan | null
  settings: Partial<Settings>
}

/**
 * Creates or replaces a table from a body, chunk by chunk: at most one chunk and a stage of the arena are in
 * use beside the table itself.
 *
 * Requests are refused in this order: for the header and its facts (see plan.ts); for quota and precondition;
 * then, when the body was read, for its length (MALFORMED_BODY), digest (DIGEST_MISMATCH) and numbers
 * (NON_FINITE, naming the first), so that a body that was damaged on the way is reported as such. After any
 * failure, including one of the source, the memory is freed and the table is unchanged; the source is stopped
 * by its iterator's `return`.
 */
export const uploadTable = async (
  writer: WriterConnection,
  arena: Arena,
  upload: Upload,
): Promise<BuiltTable> => {
  const body = new UploadBody(upload.body, {
    hashesBytes: upload.digest !== undefined || typeof upload.key?.request === 'function',
    freesChunks: upload.freesChunks,
  })
  try {
    const { plan, state, settings } = await planBody(upload, body)
    const { name, precondition } = upload
    const { rows, dim, dtype } = plan
    const begin = { name, rows, dim, dtype, settings, precondition, stateKind: state?.kind }
    const fill = async (
      segments: readonly SegmentHandle[],
      stateSegments: readonly SegmentHandle[] | null,
    ): Promise<number> => {
      const sinks: Sink[] = []
      let readStep = () => 0
      try {
        openRowSink(sinks, arena, segments, plan)
        if (state !== null && stateSegments !== null) openStateSinks(sinks, arena, stateSegments, state)
        if (state !== null && state.step !== null) readStep = openStepSink(sinks, state.step)
        await writeBody(
          body,
          plan.bodyBytes,
          () => describeSize(plan.sourceType, [plan.rows, plan.dim], plan.bodyBytes),
          sinks,
        )
      } finally {
        for (const sink of sinks) sink.close()
      }
      checkDigest('body', body.digest(), upload.digest)
      if (!upload.allowNonFinite) for (const sink of sinks) await sink.checkFinite()
      return readStep()
    }
    return await buildTable(writer, begin, fill, () => bindBuild(upload.key, () => body.digest()))
  } finally {
    await body.close()
  }
}

/** Plans a body. Reads its header, if there is one, and no more. */
const planBody = async (upload: Upload, body: UploadBody): Promise<BodyPlan> => {
  const { settings, contentLength = null, headers = { bytes: 0 } } = upload
  const format = findFormat(upload.format)
  if (format.carries === 'numbers') return { plan: planRaw(upload), state: null, settings }
  if (format.carries === 'one array') {
    const located = await readHeader(body, format, headers, (header) => format.locate(header, contentLength))
    return { plan: planArray(located, upload), state: null, settings }
  }
  const located = await readHeader(body, format, headers, (header) => format.locate(header, contentLength))
  return planArrays(located, upload)
}

const planArrays = (located: LocatedArrays, upload: Upload): BodyPlan => {
  const { settings } = upload
  const plan = planNamedArray(located, upload)
  const names = listStateNames(located, upload)
  const metadataOptimizer = readMetadataOptimizer(located, upload, names.length > 0)
  const withOptimizer =
    metadataOptimizer === undefined ? settings : { ...settings, optimizer: metadataOptimizer }
  if (names.length === 0) return { plan, state: null, settings: withOptimizer }
  const state = planState(located, names, upload.optimizer ?? metadataOptimizer ?? DEFAULT_OPTIMIZER, plan)
  return { plan, state, settings: withOptimizer }
}

/**
 * Reads the optimizer that the metadata names, for a table that has none. Without state, the word may be that
 * of another writer, and what cannot be read is ignored.
 */
const readMetadataOptimizer = (
  { metadata }: LocatedArrays,
  { optimizer, readOptimizer }: Upload,
  hasState: boolean,
): Optimizer | undefined => {
  const text = metadata.get('optimizer')
  if (optimizer !== undefined || text === undefined) return undefined
  try {
    return readOptimizer?.(text)
  } catch (error) {
    if (hasState || !(error instanceof GatherdError)) throw error
    return undefined
  }
}
