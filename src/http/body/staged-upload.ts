/** Translates between the HTTP contract of uploads in parts and the staging of their parts. */
import type { Static } from 'typebox'
import { assert } from '../../core/assert.ts'
import type { Precondition } from '../../core/types.ts'
import { formatContentDigest, parseContentDigest } from '../../formats/digest.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { findFormat, type FormatName, RAW } from '../../formats/format.ts'
import type { BuildKey } from '../../upload/build.ts'
import { checkOptions } from '../../upload/finish-plan.ts'
import { planRaw } from '../../upload/plan.ts'
import { commitUpload } from '../../upload/staging/commit.ts'
import {
  countBytes,
  type StagedPart,
  type UploadSpecification,
  type UploadState,
} from '../../upload/staging/layout.ts'
import type { HttpContext } from '../context.ts'
import { parseFormat } from '../negotiate.ts'
import type { UploadQuery } from '../schemas/table.ts'
import { type PartAnswer, UploadBegin, type UploadInfoSchema, UploadParameters } from '../schemas/uploads.ts'
import { readUploadQuery, type StoredTable, storeTableBody } from './table-body.ts'
import { compileChecker } from '../validate.ts'

const checkBegin = compileChecker(UploadBegin)
const checkParameters = compileChecker(UploadParameters)

/**
 * Reads the body that begins an upload. A specification that can never become a table, whatever the parts
 * will be, is refused at once, as the PUT would refuse it: INVALID_REQUEST, SHAPE_MISMATCH, DTYPE_MISMATCH,
 * NON_FINITE, and MALFORMED_BODY for a total that the shape contradicts.
 */
export const readUploadBegin = (body: Buffer, table: string): UploadSpecification => {
  const { members } = readJsonObject(body, [])
  const { content_type: contentType = RAW.mediaType, bytes, digest, ...parameters } = checkBegin(members)
  const { options } = readUploadQuery(toQuery(parameters))
  const format = formatOf(contentType)
  if (findFormat(format).carries === 'numbers') planRaw({ ...options, format, contentLength: bytes })
  else checkOptions({ ...options, format })
  return { table, contentType, bytes: bytes ?? null, digest: digest ?? null, parameters }
}

/**
 * Makes a table of an upload's parts, as one PUT of all of them would. Refuses whatever that PUT and {@link
 * commitUpload} refuse.
 */
export const commitStaged = (
  context: HttpContext,
  table: string,
  id: string,
  { precondition, key }: { precondition: Precondition; key: BuildKey | undefined },
): Promise<StoredTable> =>
  commitUpload(
    context.staging,
    table,
    id,
    async ({ contentType, digest, parameters }, body, contentLength) => {
      const { created, info, revision } = await storeTableBody(context, {
        table,
        format: formatOf(contentType),
        query: toQuery(checkParameters(parameters)),
        body,
        // The chunks are views of one buffer, so their memory cannot be freed one by one.
        freesChunks: false,
        contentLength,
        digest: digest === null ? undefined : parseContentDigest(digest),
        precondition,
        key,
      })
      return { created, info, revision }
    },
  )

const formatOf = (contentType: string): FormatName => {
  const format = parseFormat(contentType)
  assert(format !== undefined && format !== 'json', 'the schema of the upload has the types there are')
  return format
}

/** Converts the parameters of an upload to those of a query, in which the optimizer is text. */
const toQuery = ({ optimizer, ...others }: Static<typeof UploadParameters>): Static<typeof UploadQuery> =>
  optimizer === undefined
    ? others
    : { ...others, optimizer: typeof optimizer === 'string' ? optimizer : JSON.stringify(optimizer) }

/** Describes a part for clients. */
export const describePart = ({ part, bytes, sha256 }: StagedPart): Static<typeof PartAnswer> => ({
  part,
  bytes,
  digest: formatContentDigest(Buffer.from(sha256, 'hex')),
})

/** Describes an upload for clients. */
export const describeUpload = ({
  upload,
  parts,
  expiresAt,
  committed,
}: UploadState): Static<typeof UploadInfoSchema> => ({
  upload: upload.id,
  table: upload.table,
  content_type: upload.contentType as Static<typeof UploadInfoSchema>['content_type'],
  bytes: upload.bytes,
  digest: upload.digest,
  parameters: upload.parameters as Static<typeof UploadParameters>,
  received_bytes: countBytes(parts),
  parts: parts.map(describePart),
  committed: committed !== null,
  created_at: new Date(upload.createdAt).toISOString(),
  expires_at: new Date(expiresAt).toISOString(),
})
