import type { Optimizer, Precondition, Settings } from '../core/types.ts'
import { checkDigest } from '../formats/digest.ts'
import { npyHeaderBytes, readNpyHeader } from '../formats/npy.ts'
import {
  readSafetensorsHeader,
  type SafetensorsHeader,
  safetensorsHeaderBytes,
} from '../formats/safetensors.ts'
import type { Arena } from '../tables/arena.ts'
import { UploadBody } from './body.ts'
import { buildTable, type BuiltTable, type WriterConnection } from './build.ts'
import {
  describeSize,
  planNpy,
  planRaw,
  planSafetensors,
  type UploadOptions,
  type UploadPlan,
} from './plan.ts'
import { openRowSink, openStateSinks, openStepSink, type Sink, takeHeader, writeBody } from './sinks.ts'
import { listStateNames, planState, type StatePlan } from './state.ts'

/** One PUT of a table with data. */
export interface Upload extends UploadOptions {
  name: string
  /** Chunks of any size. */
  body: AsyncIterable<Uint8Array>
  /**
   * Frees the memory of each chunk once it was used. Only for a source that makes every chunk for its reader,
   * as node:http does. Otherwise they lie about until the garbage collector comes, up to 64 MiB of them.
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
   * The optimizer that state in the body must belong to: the one that is set with it, or that the table
   * has.
   */
  optimizer?: Optimizer
  /**
   * Without one, the optimizer that the body names in its metadata is set. Refuses INVALID_REQUEST for text
   * that is none.
   */
  readOptimizer?: (text: string) => Optimizer
}

/** A body as planned, and the optimizer that it brings along. */
interface BodyPlan {
  plan: UploadPlan
  state: StatePlan | null
  settings: Partial<Settings>
}

/** As many bytes as the two formats need before they say how long their header is. */
const PREFIX_BYTES = { npy: 12, safetensors: 8 }

/**
 * Creates or replaces a table from a body, chunk by chunk: at most one chunk and a stage of the arena are
 * held beside the table itself.
 *
 * Order of refusals: the header and what it says (see plan.ts); quota and precondition; then, when the body
 * was read, its length (MALFORMED_BODY), digest (DIGEST_MISMATCH) and numbers (NON_FINITE, naming the first):
 * a body damaged on the way is not blamed for its numbers. Whatever fails, the source included, memory goes
 * back and the table stays what it was. Then the source is told so by its iterator's `return`, and not read
 * on.
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
  const { settings } = upload
  switch (upload.format) {
    case 'raw':
      return { plan: planRaw(upload), state: null, settings }
    case 'npy': {
      const header = await takeHeader(body, PREFIX_BYTES.npy, npyHeaderBytes)
      return { plan: planNpy(readNpyHeader(header), upload), state: null, settings }
    }
    case 'safetensors': {
      const header = await takeHeader(body, PREFIX_BYTES.safetensors, safetensorsHeaderBytes)
      return planTensors(readSafetensorsHeader(header, upload.contentLength ?? null), upload)
    }
  }
}

const planTensors = (header: SafetensorsHeader, upload: Upload): BodyPlan => {
  const { settings } = upload
  const plan = planSafetensors(header, upload)
  const names = listStateNames(header, upload)
  if (names.length === 0) return { plan, state: null, settings }
  const named = header.metadata.get('optimizer')
  const brought =
    upload.optimizer === undefined && named !== undefined ? upload.readOptimizer?.(named) : undefined
  const state = planState(header, names, upload.optimizer ?? brought ?? { kind: 'sgd' }, plan)
  return { plan, state, settings: brought === undefined ? settings : { ...settings, optimizer: brought } }
}
