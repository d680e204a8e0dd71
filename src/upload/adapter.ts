/** Makes an adapter from a body that is still arriving, as upload.ts makes a table. */
import { refuse } from '../core/errors.ts'
import type { Precondition } from '../core/types.ts'
import { checkDigest } from '../formats/digest.ts'
import { findNamedArrays, type FormatName } from '../formats/format.ts'
import type { Arena } from '../tables/arena.ts'
import type { SegmentHandle } from '../tables/handles.ts'
import type { TableEntry } from '../tables/registry.ts'
import { type AdapterArray, type AdapterPlan, checkAlpha, planAdapter, readScalar } from './adapter-plan.ts'
import { UploadBody } from './body.ts'
import type { ChangedAdapter } from '../writer/protocol.ts'
import { bindBuild, type BuildKey, type WriterConnection } from './build.ts'
import { loaderSink, openBytesSink, writeBody } from './sinks.ts'
import type { Sink } from './sink.ts'
import { type HeaderMemory, readHeader } from './read-header.ts'
import { RowLoader } from './row-loader.ts'

/** One PUT of an adapter. */
export interface AdapterUpload {
  /** A format of named arrays. */
  format: FormatName
  /** Chunks of any size. */
  body: AsyncIterable<Uint8Array>
  /** See `Upload.freesChunks`. */
  freesChunks?: boolean
  contentLength?: number
  /** The sha-256 that the body must have. */
  digest?: Uint8Array
  /** The alpha of the query; when absent, the body must have it. */
  alpha?: number
  precondition: Precondition
  key?: BuildKey
  /** See `Upload.headers`. */
  headers?: HeaderMemory
}

/**
 * Attaches an adapter to the current version of a table, or replaces its adapter, chunk by chunk as a table
 * is uploaded. Requests are refused in the same order: for the header and its facts (adapter-plan.ts); for
 * quota and precondition; for length, digest and numbers. After any failure the memory is freed and the table
 * is unchanged. Returns the adapter and its sequence. Refuses UNSUPPORTED_MEDIA_TYPE for a format
 * whose arrays have no names.
 */
export const uploadAdapter = async (
  writer: WriterConnection,
  arena: Arena,
  entry: TableEntry,
  upload: AdapterUpload,
): Promise<ChangedAdapter> => {
  const format = findNamedArrays(upload.format)
  const body = new UploadBody(upload.body, {
    hashesBytes: upload.digest !== undefined || typeof upload.key?.request === 'function',
    freesChunks: upload.freesChunks,
  })
  const { handle } = entry.current
  try {
    const announcedBytes = upload.contentLength ?? null
    const located = await readHeader(body, format, upload.headers ?? { bytes: 0 }, (header) =>
      format.locate(header, announcedBytes),
    )
    const plan = planAdapter(located, handle, upload.alpha)
    const { rank, dtype } = plan
    const begin = {
      name: entry.record.name,
      version: handle.version,
      rank,
      dtype,
      precondition: upload.precondition,
    }
    const { adapterId, a, b } = await writer.call('beginAdapter', begin)
    try {
      const alpha = await fillAdapter(arena, body, plan, handle.dim, { a, b }, upload.digest)
      const key = bindBuild(upload.key, () => body.digest())
      return await writer.call('commitAdapter', { adapterId, alpha, key })
    } catch (error) {
      // The call fails only when the connection to the writer is closed, and then the writer aborts the
      // adapter itself.
      await writer.call('abortAdapter', { adapterId }).catch(() => null)
      throw error
    }
  } finally {
    await body.close()
  }
}

/** Writes both factors and returns alpha. */
const fillAdapter = async (
  arena: Arena,
  body: UploadBody,
  plan: AdapterPlan,
  dim: number,
  { a, b }: { a: SegmentHandle[]; b: WebAssembly.Memory },
  digest: Uint8Array | undefined,
): Promise<number> => {
  const { rank, dtype, bodyBytes } = plan
  const sinks: Sink[] = []
  let readAlpha = (): number => (typeof plan.alpha === 'number' ? plan.alpha : NaN)
  try {
    openFactorSink(sinks, arena, 'a', a, plan.a, { dim: rank, dtype })
    openFactorSink(sinks, arena, 'b', [{ memory: b, firstRow: 0, rowCount: rank }], plan.b, {
      dim,
      dtype: 'float32',
    })
    if (typeof plan.alpha !== 'number') readAlpha = openScalarSink(sinks, plan.alpha)
    await writeBody(
      body,
      bodyBytes,
      () => `with a of rank ${rank} the body must have ${bodyBytes} bytes`,
      sinks,
    )
  } finally {
    for (const sink of sinks) sink.close()
  }
  checkDigest('body', body.digest(), digest)
  for (const sink of sinks) await sink.checkFinite()
  return checkAlpha(readAlpha(), rank)
}

const openFactorSink = (
  sinks: Sink[],
  arena: Arena,
  name: string,
  segments: readonly SegmentHandle[],
  array: AdapterArray,
  { dim, dtype }: { dim: number; dtype: AdapterPlan['dtype'] },
): void => {
  const writer = new RowLoader(arena, segments, { dim, sourceType: array.elementType, dtype })
  const checkFinite = (): void => {
    const at = writer.firstNonFinite
    if (at < 0) return
    const pointer = `/${name}/${Math.floor(at / dim)}/${at % dim}`
    refuse('NON_FINITE', `${pointer} is not finite as ${dtype}`, {
      errors: [{ pointer, detail: 'must be finite' }],
    })
  }
  sinks.push(loaderSink(writer, array, checkFinite))
}

/** Adds a sink for one number. Returns a function that reads the number after the body was read. */
const openScalarSink = (sinks: Sink[], array: AdapterArray): (() => number) => {
  const readBytes = openBytesSink(sinks, array)
  return () => readScalar(array.elementType, readBytes())
}
