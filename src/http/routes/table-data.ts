import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { GatherdError } from '../../core/errors.ts'
import { exportTable } from '../../export/export.ts'
import { type ExportFormat, exportFormats, planExport } from '../../export/plan.ts'
import { printRowsPage } from '../../export/print-rows.ts'
import { readRows } from '../../export/rows.ts'
import type { ElementType } from '../../core/types.ts'
import { formatShape } from '../../formats/shape.ts'
import { isNotModified } from '../conditions.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { FORMAT_MEDIA_TYPES, negotiateFormat } from '../negotiate.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { DataQuery, RowsAnswer, RowsQuery, TableParams } from '../schemas/table.ts'
import { stateHeaders } from '../answer/state-headers.ts'

const ROWS_LIMIT = 10
/** Versions that may be replaced under an export before it begins. */
const EXPORT_TRIES_MAX = 16
const FORMATS: readonly ExportFormat[] = ['npy', 'safetensors', 'raw']
const FILE_ENDINGS: Record<ExportFormat, string> = { npy: 'npy', safetensors: 'safetensors', raw: 'bin' }

/** `GET /v1/tables/{table}/data` and `/rows`. */
export const addTableDataRoutes = (app: App, context: HttpContext): void => {
  const options = { schema: describeData, exposeHeadRoute: false }
  app.get('/v1/tables/:table/data', options, (request, reply) => sendData(context, request, reply))
  app.head('/v1/tables/:table/data', { schema: { ...describeData, hide: true } }, (request, reply) =>
    sendData(context, request, reply),
  )

  app.get('/v1/tables/:table/rows', { schema: describeRows }, (request, reply) => {
    checkDeadline(request)
    negotiateFormat(request.headers.accept, ['json'])
    const { offset = 0, limit = ROWS_LIMIT } = request.query
    const { current } = context.registry.find(request.params.table)
    const { version, dim } = current.handle
    const { arena, printer } = context.lookups
    const page = readRows(current, arena, offset, limit)
    reply
      .headers(stateHeaders(version, page.sequence))
      .header('cache-control', 'no-cache')
      .type('application/json; charset=utf-8')
    ;(reply as FastifyReply).send(printRowsPage(page, dim, arena, printer))
  })
}

type DataRequest = FastifyRequest<{
  Params: Static<typeof TableParams>
  Querystring: Static<typeof DataQuery>
}>

const sendData = async (
  context: HttpContext,
  request: DataRequest,
  reply: FastifyReply,
): Promise<FastifyReply> => {
  checkDeadline(request)
  const entry = context.registry.find(request.params.table)
  const current = context.registry.resolve(entry, request.query.version)
  const { record } = entry
  const { version, dtype } = current.handle
  // Of the formats a table can be sent in, those that cannot carry its dtype come last: asking for one says so.
  const withState = request.query.include === 'optimizer'
  const offered: ExportFormat[] = withState
    ? ['safetensors']
    : [...new Set([...exportFormats(dtype), ...FORMATS])]
  const format = negotiateFormat(request.headers.accept, offered) as ExportFormat
  const sequence = current.readSequence()
  if (isNotModified(request.headers, version, sequence))
    return reply.status(304).headers(stateHeaders(version, sequence)).send()
  if (request.method === 'HEAD') {
    // Headers do not depend on how many steps were taken.
    const state = withState ? { optimizer: record.settings.optimizer, step: 0 } : null
    describeBody(reply, format, {
      ...planExport(current.handle, format, state),
      version,
      sequence,
      name: record.name,
    })
    return reply.send()
  }
  const exported = await exportCurrent(
    context,
    request.params.table,
    request.query.version,
    format,
    withState,
  )
  describeBody(reply, format, { ...exported, name: record.name })
  return reply.send(Readable.from(exported.body, { objectMode: false }))
}

/**
 * Exports what is read under `name`. A version that is replaced and let go while the writer is being asked is no reason to refuse: there is a newer one.
 */
const exportCurrent = async (
  { registry, writer }: HttpContext,
  name: string,
  number: number | undefined,
  format: ExportFormat,
  withState: boolean,
) => {
  for (let attempt = 1; ; attempt++) {
    try {
      const entry = registry.find(name)
      return await exportTable(writer, entry.record.name, registry.resolve(entry, number), format, withState)
    } catch (error) {
      const wasReplaced = error instanceof GatherdError && error.code === 'VERSION_NOT_FOUND'
      if (!wasReplaced || number !== undefined || attempt === EXPORT_TRIES_MAX) throw error
    }
  }
}

interface DataHead {
  name: string
  version: number
  sequence: number
  contentLength: number
  elementType: ElementType
  shape: readonly number[]
}

const describeBody = (reply: FastifyReply, format: ExportFormat, head: DataHead): void => {
  reply.headers(stateHeaders(head.version, head.sequence)).headers({
    'content-type': FORMAT_MEDIA_TYPES[format],
    'content-length': String(head.contentLength),
    'content-disposition': `attachment; filename="${head.name}.${FILE_ENDINGS[format]}"`,
    'x-shape': formatShape([...head.shape]),
    'x-dtype': head.elementType,
    'cache-control': 'no-cache',
    vary: 'accept',
  })
}

const describeData = {
  tags: ['tables'],
  summary: 'Download a table',
  description: `The whole table as stored, all of it at one sequence, whatever is updated meanwhile. By \`Accept\` as npy (default), safetensors or raw
numbers. npy has no bfloat16 and no int8: those tables come as safetensors by default.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/data -o words.npy
\`\`\`

\`\`\`python
import io, numpy as np, requests
answer = requests.get("http://127.0.0.1:8080/v1/tables/words/data")
words = np.load(io.BytesIO(answer.content))
\`\`\`

With \`?include=optimizer\` the state of the optimizer comes too, at the same sequence, as safetensors: \`optimizer/momentum\` (momentum),
\`optimizer/accumulator\` (adagrad; of rowwise_adagrad one number per row), \`optimizer/m\`, \`optimizer/v\` and \`optimizer/step\` (adam), beside
\`embeddings\`; the optimizer itself is in the metadata. Uploaded again, training goes on where it was.

\`\`\`sh
curl -fsS 'http://127.0.0.1:8080/v1/tables/words/data?include=optimizer' -o words.safetensors
curl -fsS -X PUT http://127.0.0.1:8080/v1/tables/copy -H 'content-type: application/x-safetensors' \\
  --data-binary @words.safetensors
\`\`\``,
  params: TableParams,
  querystring: DataQuery,
  produces: ['application/x-npy', 'application/x-safetensors', 'application/octet-stream'],
  response: { 200: BinaryAnswer, 304: emptyAnswer('Nothing has changed') },
}

const describeRows = {
  tags: ['tables'],
  summary: 'Browse rows',
  description: 'For people; programs look rows up. Beyond the last row there are none.',
  params: TableParams,
  querystring: RowsQuery,
  response: { 200: RowsAnswer },
}
