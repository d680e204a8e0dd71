/** The schemas of uploads in parts. */
import { type Static, Type } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { FORMATS, RAW } from '../../formats/format.ts'
import { FORMAT_MEDIA_TYPES, TABLE_FORMATS } from '../negotiate.ts'
import { OptimizerInput } from './optimizer.ts'
import { Choice, CLOSED, NamedObject, Replayed, TableName } from './scalars.ts'
import { UploadQuery } from './table.ts'

const ContentType = Choice(
  FORMATS.map(({ mediaType }): string => mediaType),
  { description: 'Media type of all parts together', default: RAW.mediaType },
)
const Digest = Type.String({
  pattern: '^sha-256=:[A-Za-z0-9+/]{43}=:$',
  description: '`sha-256=:<base64>:`, as a Content-Digest (RFC 9530)',
})

/** The query parameters of a PUT, as JSON. */
export const UploadParameters = Type.Object(
  {
    ...UploadQuery.properties,
    optimizer: Type.Optional(
      Type.Union([OptimizerInput, Type.String({ maxLength: LIMITS.urlBytesMax })], {
        description: 'The optimizer, or its kind alone',
      }),
    ),
  },
  { ...CLOSED, title: 'UploadParameters' },
)

/** The body that begins an upload in parts. */
export const UploadBegin = Type.Object(
  {
    content_type: Type.Optional(ContentType),
    bytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Bytes of all parts together; more are refused, and fewer cannot be committed',
      }),
    ),
    digest: Type.Optional(Digest),
    ...UploadParameters.properties,
  },
  {
    ...CLOSED,
    title: 'UploadRequest',
    examples: [
      { content_type: FORMAT_MEDIA_TYPES[TABLE_FORMATS[0]], bytes: 256_000_128 },
      { rows: 1000, dim: 64, dtype: 'float16' },
    ],
  },
)

export const PartAnswer = NamedObject('UploadPart', {
  part: Type.Integer(),
  bytes: Type.Integer(),
  digest: Digest,
})

/** The description of an upload in parts. */
export const UploadInfoSchema = Type.Object(
  {
    upload: Type.String({ description: 'Id of the upload' }),
    table: TableName,
    content_type: ContentType,
    bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'Announced length' }),
    digest: Type.Union([Digest, Type.Null()], { description: 'Announced digest' }),
    parameters: UploadParameters,
    received_bytes: Type.Integer({ description: 'Bytes of all parts together' }),
    parts: Type.Array(PartAnswer, { description: 'The complete parts, ascending' }),
    committed: Type.Boolean({
      description: 'Whether it has become a table; committing it again returns the same answer',
    }),
    replayed: Replayed,
    created_at: Type.String({ format: 'date-time' }),
    expires_at: Type.String({
      format: 'date-time',
      description: 'The time of its removal, unless there is activity before',
    }),
  },
  { $id: 'UploadInfo', description: 'An upload in parts' },
)

/** A typed reference to the schema above. */
export const UploadInfoRef = Type.Unsafe<Static<typeof UploadInfoSchema>>({ $ref: 'UploadInfo#' })

export const UploadsAnswer = NamedObject('UploadList', {
  uploads: Type.Array(UploadInfoRef, { description: 'The open uploads, oldest first' }),
})

// The schema accepts any id, because a malformed one is only an upload that does not exist.
const UploadId = Type.String({ description: 'Id of the upload' })
export const UploadParams = Type.Object({ table: TableName, upload: UploadId }, CLOSED)

const PART_DIGITS_MAX = String(LIMITS.uploadPartCountMax - 1).length

export const PartParams = Type.Object(
  {
    table: TableName,
    upload: UploadId,
    part: Type.String({
      pattern: `^(0|[1-9][0-9]{0,${PART_DIGITS_MAX - 1}})$`,
      description: `Number of the part, 0 to ${LIMITS.uploadPartCountMax - 1}`,
      examples: ['0'],
    }),
  },
  CLOSED,
)
