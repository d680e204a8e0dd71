/*
 * A table out of a body that is still arriving: plan by its header, then write the rows into shared memory
 * chunk by chunk.
 */
import type { Optimizer, Precondition, Settings } from '../core/types.ts'
import { checkDigest } from '../formats/digest.ts'
import { findFormat } from '../formats/format.ts'
import type { LocatedArrays } from '../formats/shape.ts'
import { DEFAULT_OPTIMIZER } from '../optimizers/complete.ts'
import type { Arena } from '../tables/arena.ts'
import { UploadBody } from './body.ts'
import { buildTable } from './build.ts'
import type { BuiltTable, WriterConnection } from './build.ts'
import { describeSize, planArray, planNamedArray, planRaw } from './plan.ts'
import type { UploadOptions, UploadPlan } from './plan.ts'
import { openRowSink, openStateSinks, openStepSink, type Sink, takeHeader, writeBody } from './sinks.ts'
import { listStateNames, planState, type StatePlan } from './state.ts'

/** One PUT of a table with data. */
export interface Upload extends UploadOptions {
  name: string
  /** Chunks of any size. */
  body: AsyncIterable<Uint8Array>
  /**
   * Frees the memory of each chunk once it was used. Only for a source that makes every chunk for its reader,
   * as node:http does. Otherwise up to 64 MiB of chunks wait for the garbage collector.
   */
  freesChunks?: boolean
  /**
   * NaN and infinity are stored as they are. In int8 storage a row that holds one reads as NaN throughout.
   */
  allowNonFinite: boolean
  /** The sha-256 that the body must have. */
  digest?: Uint8Array
  settings: Partial<Settings>
  precondition: Precondition
  /**
   * The optimizer that state in the body must belong to: the one that is set with it, or that the table has.
   */
  optimizer?: Optimizer
  /**
   * Reads the optimizer that the body names in its metadata, which is set when there is no `optimizer`.
   * Refuses INVALID_REQUEST for text that is none.
   */
  readOptimizer?: (text: string) => Optimizer
}

/** A body as planned, and the optimizer that it brings along. */
interface BodyPlan {
  plan: UploadPlan
  state: StatePlan | null
  settings: Partial<Settings>
}

/**
 * Creates or replaces a table from a body, chunk by chunk: at most one chunk and a stage of the arena are in
 * use beside the table itself.
 *
 * Order of refusals: the header and what it says (see plan.ts); quota and precondition; then, when the body
 * was read, its length (MALFORMED_BODY), digest (DIGEST_MISMATCH) and numbers (NON_FINITE, naming the first):
 * a body damaged on the way is not blamed for its numbers. Whatever fails, the source included, memory goes
 * back and the table stays as it was. Then the source is told so by its iterator's `return`, and not read on.
 */
export const uploadTable = async (
  writer: WriterConnection,
  arena: Arena,
  upload: Upload,
): Promise<BuiltTable> => {
  const body = new UploadBody(upload.body, {
    hashesBytes: upload.digest !== undefined,
    freesChunks: upload.freesChunks,
  })
  try {
    const { plan, state, settings } = await planBody(upload, body)
    const { name, precondition } = upload
    const { rows, dim, dtype } = plan
    const begin = { name, rows, dim, dtype, settings, precondition, stateKind: state?.kind }
    return await buildTable(writer, begin, async (segments, stateSegments) => {
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
      if (!upload.allowNonFinite) for (const sink of sinks) sink.checkFinite()
      return readStep()
    })
  } finally {
    await body.close()
  }
}

/** Reads the header, if there is one, and no more. */
const planBody = async (upload: Upload, body: UploadBody): Promise<BodyPlan> => {
  const { settings, contentLength = null } = upload
  const format = findFormat(upload.format)
  if (format.carries === 'numbers') return { plan: planRaw(upload), state: null, settings }
  const header = await takeHeader(body, format)
  if (format.carries === 'one array')
    return { plan: planArray(format.locate(header, contentLength), upload), state: null, settings }
  return planArrays(format.locate(header, contentLength), upload)
}

const planArrays = (located: LocatedArrays, upload: Upload): BodyPlan => {
  const { settings } = upload
  const plan = planNamedArray(located, upload)
  const names = listStateNames(located, upload)
  if (names.length === 0) return { plan, state: null, settings }
  const named = located.metadata.get('optimizer')
  const brought =
    upload.optimizer === undefined && named !== undefined ? upload.readOptimizer?.(named) : undefined
  const state = planState(located, names, upload.optimizer ?? brought ?? DEFAULT_OPTIMIZER, plan)
  return { plan, state, settings: brought === undefined ? settings : { ...settings, optimizer: brought } }
}
