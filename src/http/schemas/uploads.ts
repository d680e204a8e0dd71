import { type Static, Type } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { FORMAT_MEDIA_TYPES } from '../negotiate.ts'
import { OptimizerInput } from './optimizer.ts'
import { Choice, CLOSED, TableName } from './scalars.ts'
import { UploadQuery } from './table.ts'

const { raw, npy, safetensors } = FORMAT_MEDIA_TYPES
const ContentType = Choice([raw, npy, safetensors], { description: 'Type of the whole', default: raw })
const Digest = Type.String({
  pattern: '^sha-256=:[A-Za-z0-9+/]{43}=:$',
  description: 'sha-256=:<base64>:, as a Content-Digest (RFC 9530)',
})

/** The query of a PUT, as JSON. */
export const UploadParameters = Type.Object(
  {
    ...UploadQuery.properties,
    optimizer: Type.Optional(
      Type.Union([OptimizerInput, Type.String({ maxLength: LIMITS.urlBytesMax })], {
        description: 'The optimizer, or its kind alone',
      }),
    ),
  },
  CLOSED,
)

/** The body that begins an upload in parts. */
export const UploadBegin = Type.Object(
  {
    content_type: Type.Optional(ContentType),
    bytes: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Of all parts together; more is refused, less is not committed',
      }),
    ),
    digest: Type.Optional(Digest),
    ...UploadParameters.properties,
  },
  {
    ...CLOSED,
    examples: [
      { content_type: npy, bytes: 256_000_128 },
      { rows: 1000, dim: 64, dtype: 'float16' },
    ],
  },
)

export const PartAnswer = Type.Object({ part: Type.Integer(), bytes: Type.Integer(), digest: Digest })

/** An upload in parts. */
export const UploadInfoSchema = Type.Object(
  {
    upload: Type.String({ description: 'Its id' }),
    table: TableName,
    content_type: ContentType,
    bytes: Type.Union([Type.Integer(), Type.Null()], { description: 'As announced' }),
    digest: Type.Union([Digest, Type.Null()], { description: 'As announced' }),
    parameters: UploadParameters,
    received_bytes: Type.Integer({ description: 'Of all parts together' }),
    parts: Type.Array(PartAnswer, { description: 'Those that are there whole, ascending' }),
    committed: Type.Boolean({
      description: 'It has become a table: committing it again gives the same answer again',
    }),
    created_at: Type.String({ format: 'date-time' }),
    expires_at: Type.String({
      format: 'date-time',
      description: 'When it will be removed, unless something happens to it before',
    }),
  },
  { $id: 'UploadInfo', description: 'An upload in parts' },
)

/** A reference to the schema above, typed. */
export const UploadInfoRef = Type.Unsafe<Static<typeof UploadInfoSchema>>({ $ref: 'UploadInfo#' })

export const UploadsAnswer = Type.Object({
  uploads: Type.Array(UploadInfoRef, { description: 'Open ones, oldest first' }),
})

// Any text may be an id, so that an unknown one is a 404 and not a 400.
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
