/** Stores the data of a PUT, or of the parts of an upload, as a table. */
import type { FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import type { Precondition, Settings } from '../../core/types.ts'
import type { BuildKey, BuiltTable } from '../../upload/build.ts'
import type { UploadOptions } from '../../upload/finish-plan.ts'
import { uploadTable } from '../../upload/upload.ts'
import type { HttpContext } from '../context.ts'
import { type DescribedTable, sendTableInfo } from '../answer/send-table.ts'
import { readOptimizer, readSettingsQuery } from '../schemas/settings.ts'
import type { UploadQuery } from '../schemas/table.ts'

/** Data that becomes a table: the body of a PUT, or the parts of an upload. */
export interface TableBody {
  table: string
  format: UploadOptions['format']
  /** The query of the PUT, or the parameters of the upload. */
  query: Static<typeof UploadQuery>
  /** Chunks of any size. */
  body: AsyncIterable<Uint8Array>
  /** See `Upload.freesChunks`. */
  freesChunks: boolean
  contentLength?: number
  /** The sha-256 that the body must have. */
  digest?: Uint8Array
  precondition: Precondition
  key?: BuildKey
}

/**
 * Splits the query of an upload into options and settings, under the names of the code. Refuses
 * INVALID_REQUEST for an optimizer that cannot be read.
 */
export const readUploadQuery = (
  query: Static<typeof UploadQuery>,
): { options: Omit<UploadOptions, 'format'>; allowNonFinite: boolean; settings: Partial<Settings> } => {
  const {
    dtype,
    rows,
    dim,
    input_dtype: inputType,
    tensor,
    allow_non_finite: allowNonFinite = false,
    ...others
  } = query
  return {
    options: { dtype, rows, dim, inputType, tensor },
    allowNonFinite,
    settings: readSettingsQuery(others),
  }
}

/** Creates or replaces a table from data. Refuses whatever {@link uploadTable} refuses. */
export const storeTableBody = (
  { writer, lookups, registry, headers }: HttpContext,
  source: TableBody,
): Promise<BuiltTable> => {
  const { table, query, ...upload } = source
  const { options, allowNonFinite, settings } = readUploadQuery(query)
  return uploadTable(writer, lookups.arena, {
    ...upload,
    ...options,
    name: table,
    headers,
    allowNonFinite,
    settings,
    optimizer: settings.optimizer ?? registry.get(table)?.record.settings.optimizer,
    readOptimizer: (text) => readOptimizer(text, 'the metadata optimizer'),
  })
}

/** The result of a request that has made a version of a table. */
export interface StoredTable extends DescribedTable {
  created: boolean
}

/** Answers 201 with a Location for a new table, 200 for one that was replaced. */
export const sendStored = (
  reply: FastifyReply,
  { created, info, revision }: StoredTable,
  isReplay: boolean,
): FastifyReply => {
  if (created) reply.status(201).header('location', `/v1/tables/${info.name}`)
  return sendTableInfo(reply, { info, revision }, isReplay)
}
