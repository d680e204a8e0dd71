import { refuse } from '../core/errors.ts'
import type { Precondition, Settings } from '../core/types.ts'
import { npyHeaderBytes, readNpyHeader } from '../formats/npy.ts'
import { readSafetensorsHeader, safetensorsHeaderBytes } from '../formats/safetensors.ts'
import type { Arena } from '../tables/arena.ts'
import { UploadBody } from './body.ts'
import { buildTable } from './build.ts'
import type { BuiltTable, KeeperLine } from './build.ts'
import { describeSize, planNpy, planRaw, planSafetensors } from './plan.ts'
import type { UploadOptions, UploadPlan } from './plan.ts'
import { refuseNonFinite } from './non-finite.ts'
import { TableWriter } from './writer.ts'

/** One PUT of a table with data. */
export interface Upload extends UploadOptions {
  name: string
  /** Chunks of any size. */
  body: AsyncIterable<Uint8Array>
  /**
   * Frees the memory of each chunk once it was used. Only for a source that makes every chunk for its reader, as node:http does. Otherwise
   * they lie about until the garbage collector comes, up to 64 MiB of them.
   */
  freesChunks?: boolean
  /** NaN and infinity are stored as they are. In int8 storage a row that holds one reads as NaN throughout. */
  allowNonFinite: boolean
  /** The sha-256 that the body must have. */
  digest?: Uint8Array
  settings: Partial<Settings>
  precondition: Precondition
}

/** As many bytes as the two formats need before they say how long their header is. */
const PREFIX_BYTES = { npy: 12, safetensors: 8 }

/**
 * Creates or replaces a table from a body, chunk by chunk: at most one chunk and a stage of the arena are held beside the table itself.
 *
 * Order of refusals: the header and what it says (see plan.ts); quota and precondition; then, when the body was read, its length
 * (MALFORMED_BODY), digest (DIGEST_MISMATCH) and numbers (NON_FINITE, naming the first): a body damaged on the way is not blamed for
 * its numbers. Whatever fails, the source included, memory goes back and the table stays what it was. Then the source is told so by its
 * iterator's `return`, and not read on.
 */
export const uploadTable = async (keeper: KeeperLine, arena: Arena, upload: Upload): Promise<BuiltTable> => {
  const body = new UploadBody(upload.body, { hashesBytes: upload.digest !== undefined, freesChunks: upload.freesChunks })
  try {
    const plan = await planBody(upload, body)
    const { name, settings, precondition } = upload
    const { rows, dim, dtype } = plan
    return await buildTable(keeper, { name, rows, dim, dtype, settings, precondition }, async (segments) => {
      const writer = new TableWriter(arena, segments, plan)
      try {
        await writeBody(body, plan, writer)
      } finally {
        writer.close()
      }
      checkDigest(body, upload.digest)
      if (!upload.allowNonFinite) refuseNonFinite(writer.firstNonFinite, plan)
    })
  } finally {
    await body.close()
  }
}

/** Reads the header, if there is one, and no more. */
const planBody = async (upload: Upload, body: UploadBody): Promise<UploadPlan> => {
  switch (upload.format) {
    case 'raw':
      return planRaw(upload)
    case 'npy':
      return planNpy(readNpyHeader(await takeHeader(body, PREFIX_BYTES.npy, npyHeaderBytes)), upload)
    case 'safetensors': {
      const header = await takeHeader(body, PREFIX_BYTES.safetensors, safetensorsHeaderBytes)
      return planSafetensors(readSafetensorsHeader(header, upload.contentLength ?? null), upload)
    }
  }
}

/** The bytes of a header, by what `measure` says of the first few; fewer when the body ends inside. */
const takeHeader = async (body: UploadBody, prefixBytes: number, measure: (prefix: Uint8Array) => number | null): Promise<Uint8Array> => {
  const prefix = await body.take(prefixBytes)
  const headerBytes = measure(prefix)
  if (headerBytes === null || headerBytes <= prefix.length) return prefix
  const rest = await body.take(headerBytes - prefix.length)
  return Buffer.concat([prefix, rest])
}

/** Hands the rows' bytes to `writer`, and sees that the body has exactly the bytes it must have. */
const writeBody = async (body: UploadBody, plan: UploadPlan, writer: TableWriter): Promise<void> => {
  const { dataBegin, dataEnd, bodyBytes } = plan
  const size = () => describeSize(plan.sourceType, [plan.rows, plan.dim], bodyBytes)
  for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) {
    const chunkEnd = body.receivedBytes
    const chunkBegin = chunkEnd - chunk.length
    if (chunkEnd > bodyBytes) refuse('MALFORMED_BODY', `${size()}, it goes on: at least ${chunkEnd} came`)
    const begin = Math.max(dataBegin, chunkBegin)
    const end = Math.min(dataEnd, chunkEnd)
    if (begin >= end) continue
    const isReady = writer.prepare(end - begin)
    if (isReady !== null) await isReady
    writer.write(chunk.subarray(begin - chunkBegin, end - chunkBegin))
  }
  if (body.receivedBytes < bodyBytes) refuse('MALFORMED_BODY', `${size()}, it ended after ${body.receivedBytes}`)
}

const checkDigest = (body: UploadBody, expected: Uint8Array | undefined): void => {
  const found = body.digest()
  if (expected === undefined || found === null || Buffer.compare(found, expected) === 0) return
  const text = (digest: Uint8Array) => Buffer.from(digest).toString('base64')
  refuse('DIGEST_MISMATCH', `the body has the sha-256 ${text(found)}, announced was ${text(expected)}`)
}
