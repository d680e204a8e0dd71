/** The routes that download a table and browse its rows. */
import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import { GatherdError } from '../../core/errors.ts'
import type { ElementType } from '../../core/types.ts'
import { exportTable } from '../../export/export.ts'
import { exportFormats, planExport } from '../../export/plan.ts'
import { printRowsPage, readRows } from '../../export/rows.ts'
import { findFormat, type FormatName } from '../../formats/format.ts'
import { formatShape } from '../../formats/shape.ts'
import { describeStates } from '../../optimizers/state-tensors.ts'
import { dataTag, entityTag, type TableState, tagUnder } from '../../tables/precondition.ts'
import { stateHeaders } from '../answer/send-answer.ts'
import { isNotModified } from '../conditions.ts'
import type { HttpContext } from '../context.ts'
import { defineRoute, type Route, type RouteDeclaration } from '../define-route.ts'
import { FORMAT_MEDIA_TYPES, NAMED_ARRAYS_FORMATS, negotiateFormat, TABLE_FORMATS } from '../negotiate.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { DataQuery, RowsAnswer, RowsQuery, TableParams } from '../schemas/table.ts'

const ROWS_LIMIT = 10
/** An export is tried this many times, if its version is replaced each time before it begins. */
const EXPORT_TRIES_MAX = 16

const [firstState, ...otherStates] = describeStates()

const data: RouteDeclaration<typeof TableParams, typeof DataQuery> = {
  method: 'GET',
  url: '/v1/tables/:table/data',
  ownHead: true,
  scope: 'read',
  tag: 'tables',
  operationId: 'getTableData',
  summary: 'Download a table',
  description: `Sends the whole table as it is stored, at one sequence, whatever is updated meanwhile.
\`Accept\` chooses npy (default), safetensors or raw numbers. npy has no bfloat16 and no int8: such tables
are sent as safetensors by default.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/data -o words.npy
\`\`\`

\`\`\`python
import io, numpy as np, requests
answer = requests.get("http://127.0.0.1:8080/v1/tables/words/data")
words = np.load(io.BytesIO(answer.content))
\`\`\`

\`?include=optimizer\` adds the state of the optimizer at the same sequence, as safetensors:
${firstState}, ${otherStates.join(', ')}, beside \`embeddings\`; the optimizer
itself is in the metadata. When the file is uploaded again, training resumes where it was.

\`\`\`sh
curl -fsS 'http://127.0.0.1:8080/v1/tables/words/data?include=optimizer' -o words.safetensors
curl -fsS -X PUT http://127.0.0.1:8080/v1/tables/copy -H 'content-type: application/x-safetensors' \\
  --data-binary @words.safetensors
\`\`\``,
  params: TableParams,
  query: DataQuery,
  response: { 200: BinaryAnswer, 304: emptyAnswer('Nothing has changed') },
  answers: TABLE_FORMATS,
  negotiation: 'handler',
  answersState: true,
  deadline: true,
  conditional: true,
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND'],
  handler: async (context, { params, query, precondition, request, reply }) => {
    const entry = context.registry.find(params.table)
    const current = context.registry.resolve(entry, query.version)
    const { record } = entry
    const { version, dtype } = current.handle
    // Formats that cannot carry the dtype are offered last: a request for one is refused with the reason.
    const withState = query.include === 'optimizer'
    const offered = withState
      ? NAMED_ARRAYS_FORMATS
      : [...new Set([...exportFormats(dtype), ...TABLE_FORMATS])]
    const format = negotiateFormat(request.headers.accept, offered) as FormatName
    const sequence = current.readSequence()
    const state = { name: record.name, version, sequence, revision: record.revision }
    const subject = { readName: params.table, format, withState }
    const tag = tagOf(subject, state)
    if (isNotModified(precondition, state, tag))
      return reply.status(304).headers(validatorHeaders(state, tag)).send()
    if (request.method === 'HEAD') {
      // The headers do not depend on the number of steps.
      const optimizer = withState ? { optimizer: record.settings.optimizer, step: 0 } : null
      const planned = planExport(current.handle, format, optimizer)
      describeBody(reply, subject, { ...planned, ...state })
      return reply.send()
    }
    const exported = await exportCurrent(context, params.table, query.version, format, withState)
    describeBody(reply, subject, exported)
    return reply.send(Readable.from(exported.body, { objectMode: false }))
  },
}

/**
 * Exports the table that is read under `name`. If the version is replaced and freed before the writer begins
 * the export, the newer one is exported and the request is not refused.
 */
const exportCurrent = async (
  { registry, writer }: HttpContext,
  name: string,
  number: number | undefined,
  format: FormatName,
  withState: boolean,
) => {
  for (let attempt = 1; ; attempt++) {
    try {
      const entry = registry.find(name)
      const { name: table } = entry.record
      const reader = registry.resolve(entry, number)
      return { name: table, ...(await exportTable(writer, table, reader, format, withState)) }
    } catch (error) {
      const wasReplaced = error instanceof GatherdError && error.code === 'VERSION_NOT_FOUND'
      if (!wasReplaced || number !== undefined || attempt === EXPORT_TRIES_MAX) throw error
    }
  }
}

/** What a request asks for, which decides the form of the entity tag. */
interface DataSubject {
  readName: string
  format: FormatName
  withState: boolean
}

const tagOf = ({ readName, format, withState }: DataSubject, state: TableState): string =>
  tagUnder(readName, state.name, dataTag(state, format, withState))

/** The headers by which caches tell answers apart; a 304 has them too. */
const validatorHeaders = ({ version, sequence }: TableState, tag: string): Record<string, string> => ({
  ...stateHeaders(version, sequence, tag),
  'cache-control': 'no-cache',
  vary: 'accept',
})

interface DataHead extends TableState {
  contentLength: number
  elementType: ElementType
  shape: readonly number[]
}

const describeBody = (reply: FastifyReply, subject: DataSubject, head: DataHead): void => {
  const { format } = subject
  reply.headers(validatorHeaders(head, tagOf(subject, head))).headers({
    'content-type': FORMAT_MEDIA_TYPES[format],
    'content-length': String(head.contentLength),
    'content-disposition': `attachment; filename="${head.name}.${findFormat(format).fileEndings[0]}"`,
    'x-shape': formatShape([...head.shape]),
    'x-dtype': head.elementType,
  })
}

const rows = defineRoute({
  method: 'GET',
  url: '/v1/tables/:table/rows',
  scope: 'read',
  tag: 'tables',
  operationId: 'listRows',
  summary: 'Browse rows',
  description: 'Meant for people; programs look rows up. A page beyond the last row is empty.',
  params: TableParams,
  query: RowsQuery,
  response: { 200: RowsAnswer, 304: emptyAnswer('Nothing has changed') },
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND', 'BATCH_TOO_LARGE'],
  handler: ({ registry, lookups }, { params, query, precondition, reply }) => {
    const { offset = 0, limit = ROWS_LIMIT } = query
    const { current, record } = registry.find(params.table)
    const { version, dim } = current.handle
    const describe = (sequence: number): string => {
      const tag = tagUnder(params.table, record.name, entityTag(version, sequence))
      reply.headers(stateHeaders(version, sequence, tag)).header('cache-control', 'no-cache')
      return tag
    }
    const state = { name: record.name, version, sequence: current.readSequence(), revision: record.revision }
    if (isNotModified(precondition, state, describe(state.sequence))) return reply.status(304).send()
    const { arena, printer } = lookups
    const page = readRows(current, arena, offset, limit)
    describe(page.sequence)
    return reply.type('application/json; charset=utf-8').send(printRowsPage(page, dim, arena, printer))
  },
})

/** `GET /v1/tables/{table}/data` and `/rows`. */
export const tableDataRoutes: readonly Route[] = [
  defineRoute(data),
  defineRoute({ ...data, method: 'HEAD', ownHead: false }),
  rows,
]
