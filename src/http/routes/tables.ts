/** The routes that list, describe, change and delete tables. */
import { hash } from 'node:crypto'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { quoteText } from '../../formats/scanner.ts'
import { describeTable } from '../../tables/registry.ts'
import { changeTable, hashRequest } from '../../update/run-once.ts'
import { describeRead, sendNothing, sendTableInfo } from '../answer/send-table.ts'
import { isNotModified } from '../conditions.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { emptyAnswer, TABLE_NAME_PATTERN } from '../schemas/scalars.ts'
import { completeSettings, SettingsBody } from '../schemas/settings.ts'
import { NoQuery, TableInfoRef, TableParams, TablesAnswer, TablesQuery } from '../schemas/table.ts'
import { compileChecker } from '../validate.ts'

const URL = '/v1/tables/:table'
const PAGE_LIMIT = 100
const checkSettings = compileChecker(SettingsBody)

const list = defineRoute({
  method: 'GET',
  url: '/v1/tables',
  scope: 'read',
  tag: 'tables',
  operationId: 'listTables',
  summary: 'List tables',
  description:
    'Tables are in the order of their names. `next`, also as a `Link` header, leads to the next page.',
  query: TablesQuery,
  response: { 200: TablesAnswer },
  answers: ['json'],
  errors: [],
  handler: ({ registry }, { query: { limit = PAGE_LIMIT, cursor }, reply }) => {
    const after = cursor === undefined ? '' : readCursor(cursor)
    const names = registry.names().filter((name) => name > after)
    const page = names.slice(0, limit)
    const next = names.length > limit ? Buffer.from(page[limit - 1]).toString('base64url') : null
    if (next !== null) reply.header('link', `</v1/tables?limit=${limit}&cursor=${next}>; rel="next"`)
    reply
      .header('cache-control', 'no-cache')
      .send({ tables: page.map((name) => describeTable(registry.find(name))), next })
  },
})

const get = defineRoute({
  method: 'GET',
  url: URL,
  scope: 'read',
  tag: 'tables',
  operationId: 'getTable',
  summary: 'Describe a table',
  description:
    'The ETag is `"<version>-<sequence>-<revision>"`, and each change of settings raises the revision; ' +
    'with it in `If-None-Match` the answer is 304 while data and settings are the same.',
  params: TableParams,
  query: NoQuery,
  response: { 200: TableInfoRef, 304: emptyAnswer('Nothing has changed') },
  answers: ['json'],
  answersState: true,
  conditional: true,
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND'],
  handler: ({ registry }, { params, precondition, reply }) => {
    const entry = registry.find(params.table)
    const { info, tag, headers } = describeRead(params.table, entry)
    reply.headers(headers)
    if (isNotModified(precondition, { ...info, revision: entry.record.revision }, tag))
      return reply.status(304).send()
    return reply.send(info)
  },
})

const patch = defineRoute({
  method: 'PATCH',
  url: URL,
  scope: 'admin',
  tag: 'tables',
  operationId: 'patchTable',
  summary: 'Change settings',
  description:
    'Absent settings do not change. An optimizer of another kind begins without state. ' +
    '`If-Match` makes the request conditional.',
  params: TableParams,
  query: NoQuery,
  bodySchema: SettingsBody,
  response: { 200: TableInfoRef },
  accepts: { whole: ['json'] },
  bodyBytesMax: LIMITS.specificationBodyBytesMax,
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL', 'NON_FINITE'],
  handler: async ({ registry, writer }, { params: { table: name }, body, precondition, ...call }) => {
    const request = hashRequest(['PATCH'], hash('sha256', body, 'buffer'))
    const { result, isReplay } = await changeTable(
      { writer, registry },
      { name, idempotencyKey: call.idempotencyKey, request },
      (key) => {
        const settings = completeSettings(checkSettings(readJsonObject(body, []).members))
        return writer.call('patch', { name, settings, precondition, key })
      },
    )
    return sendTableInfo(call.reply, result, isReplay)
  },
})

const remove = defineRoute({
  method: 'DELETE',
  url: URL,
  scope: 'admin',
  tag: 'tables',
  operationId: 'deleteTable',
  summary: 'Delete a table',
  description: 'Lookups in flight finish. `If-Match` makes the request conditional.',
  params: TableParams,
  query: NoQuery,
  response: { 204: emptyAnswer('The table is deleted') },
  accepts: 'nothing',
  answers: [],
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ registry, writer }, { params: { table: name }, precondition, idempotencyKey, reply }) => {
    const request = hashRequest(['DELETE'])
    const { isReplay } = await changeTable({ writer, registry }, { name, idempotencyKey, request }, (key) =>
      writer.call('remove', { name, precondition, key }),
    )
    return sendNothing(reply, isReplay)
  },
})

/** Decodes a cursor to a name. Refuses INVALID_REQUEST for a cursor that is not the `next` of a page. */
const readCursor = (cursor: string): string => {
  const name = Buffer.from(cursor, 'base64url').toString()
  if (new RegExp(TABLE_NAME_PATTERN).test(name)) return name
  return refuse(
    'INVALID_REQUEST',
    `the cursor ${quoteText(cursor)} is not the next of a page; send one that is, or none`,
    {
      errors: [{ pointer: '/cursor', detail: 'is not the `next` of a page' }],
    },
  )
}

/** `/v1/tables` and `/v1/tables/{table}`, without the data. */
export const tableRoutes: readonly Route[] = [list, get, patch, remove]
