import type { FastifyReply } from 'fastify'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { TableInfo } from '../../core/types.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { quoteText } from '../../formats/scanner.ts'
import { describeTable, type TableEntry } from '../../tables/registry.ts'
import { isNotModified } from '../conditions.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { negotiateFormat, parsePrecondition } from '../negotiate.ts'
import { acceptBodies, acceptNoBody } from '../body/receive.ts'
import { emptyAnswer, TABLE_NAME_PATTERN } from '../schemas/scalars.ts'
import { completeSettings, SettingsBody } from '../schemas/settings.ts'
import { NoQuery, TableInfoRef, TableParams, TablesAnswer, TablesQuery } from '../schemas/table.ts'
import { stateHeaders } from '../answer/state-headers.ts'
import { compileChecker } from '../validate.ts'

const PAGE_LIMIT = 100
const checkSettings = compileChecker(SettingsBody)

/** `/v1/tables` and `/v1/tables/{table}`, without the data. */
export const addTableRoutes = (app: App, context: HttpContext): void => {
  addReadingRoutes(app, context)
  app.register(async (scope: App) => {
    acceptBodies(scope, ['json'], LIMITS.specificationBodyBytesMax)
    scope.patch('/v1/tables/:table', { schema: describePatch }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { table } = request.params
      context.registry.findTable(table)
      const { members } = readJsonObject(request.body as Buffer, [])
      const settings = completeSettings(checkSettings(members))
      await context.writer.call('patch', {
        name: table,
        settings,
        precondition: parsePrecondition(request.headers),
      })
      return sendTable(reply, context.registry.findTable(table))
    })
  })
  app.register(async (scope: App) => {
    acceptNoBody(scope)
    scope.delete('/v1/tables/:table', { schema: describeDelete }, async (request, reply) => {
      checkDeadline(request)
      const { table: name } = request.params
      context.registry.findTable(name)
      await context.writer.call('remove', { name, precondition: parsePrecondition(request.headers) })
      return reply.status(204).send()
    })
  })
}

const addReadingRoutes = (app: App, { registry }: HttpContext): void => {
  app.get('/v1/tables', { schema: describeList }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    const { limit = PAGE_LIMIT, cursor } = request.query
    const after = cursor === undefined ? '' : readCursor(cursor)
    const names = registry.names().filter((name) => name > after)
    const page = names.slice(0, limit)
    const next = names.length > limit ? Buffer.from(page[limit - 1]).toString('base64url') : null
    if (next !== null) reply.header('link', `</v1/tables?limit=${limit}&cursor=${next}>; rel="next"`)
    reply
      .header('cache-control', 'no-cache')
      .send({ tables: page.map((name) => describeTable(registry.find(name))), next })
  })

  app.get('/v1/tables/:table', { schema: describeGet }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    const entry = registry.find(request.params.table)
    const { version } = entry.current.handle
    const sequence = entry.current.readSequence()
    if (isNotModified(request.headers, version, sequence))
      return reply.status(304).headers(stateHeaders(version, sequence)).send()
    return sendTable(reply, entry)
  })
}

/** The name that a cursor stands for. Refuses INVALID_REQUEST for anything that was no `next`. */
const readCursor = (cursor: string): string => {
  const name = Buffer.from(cursor, 'base64url').toString()
  if (new RegExp(TABLE_NAME_PATTERN).test(name)) return name
  return refuse('INVALID_REQUEST', `cursor ${quoteText(cursor)} was not given out here`, {
    errors: [{ pointer: '/cursor', detail: 'is no `next` of a page before' }],
  })
}

/** Answers with the description of a table as it is now, and the headers of its state. */
export const sendTable = (reply: FastifyReply, entry: TableEntry): FastifyReply =>
  sendTableInfo(reply, describeTable(entry))

/** Answers with a description, and the headers of the state that it is of. */
export const sendTableInfo = (reply: FastifyReply, info: TableInfo): FastifyReply =>
  reply.headers(stateHeaders(info.version, info.sequence)).header('cache-control', 'no-cache').send(info)

const describeList = {
  tags: ['tables'],
  summary: 'List tables',
  description: 'In the order of their names. `next`, also as a `Link` header, leads to the page behind.',
  querystring: TablesQuery,
  response: { 200: TablesAnswer },
}

const describeGet = {
  tags: ['tables'],
  summary: 'Describe a table',
  description:
    'The ETag is `"<version>-<sequence>"`; with it in `If-None-Match` the answer is 304 while the data is the same.',
  params: TableParams,
  querystring: NoQuery,
  response: { 200: TableInfoRef, 304: emptyAnswer('Nothing has changed') },
}

const describePatch = {
  tags: ['tables'],
  summary: 'Change settings',
  description:
    'What is absent stays. An optimizer of another kind begins without state. `If-Match` makes it conditional.',
  params: TableParams,
  querystring: NoQuery,
  body: SettingsBody,
  response: { 200: TableInfoRef },
}

const describeDelete = {
  tags: ['tables'],
  summary: 'Delete a table',
  description: 'Lookups in flight finish. `If-Match` makes it conditional.',
  params: TableParams,
  querystring: NoQuery,
  response: { 204: emptyAnswer('It is gone') },
}
