/** The routes of aliases, under which clients read tables. */
import type { Static } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import type { AliasRecord } from '../../tables/handles.ts'
import { hashRequest, runOnce, toChangeKey } from '../../update/run-once.ts'
import { markReplay, sendNothing } from '../answer/send-table.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery } from '../schemas/table.ts'
import { AliasAnswer, AliasBody, AliasesAnswer, AliasParams } from '../schemas/versions.ts'
import { compileChecker } from '../validate.ts'

const URL = '/v1/aliases/:alias'

const checkBody = compileChecker(AliasBody)

const describeAlias = ({ alias, table, version }: AliasRecord): Static<typeof AliasAnswer> => ({
  alias,
  table,
  version,
})

const list = defineRoute({
  method: 'GET',
  url: '/v1/aliases',
  scope: 'read',
  tag: 'versions',
  operationId: 'listAliases',
  summary: 'List aliases',
  query: NoQuery,
  response: { 200: AliasesAnswer },
  answers: ['json'],
  errors: [],
  handler: ({ registry }, { reply }) => {
    reply.header('cache-control', 'no-cache').send({ aliases: registry.aliases().map(describeAlias) })
  },
})

const get = defineRoute({
  method: 'GET',
  url: URL,
  scope: 'read',
  tag: 'versions',
  operationId: 'getAlias',
  summary: 'Describe an alias',
  params: AliasParams,
  query: NoQuery,
  response: { 200: AliasAnswer },
  answers: ['json'],
  errors: ['ALIAS_NOT_FOUND'],
  handler: ({ registry }, { params, reply }) => {
    reply.header('cache-control', 'no-cache').send(describeAlias(registry.findAlias(params.alias)))
  },
})

const put = defineRoute({
  method: 'PUT',
  url: URL,
  scope: 'admin',
  tag: 'versions',
  operationId: 'putAlias',
  summary: 'Create an alias, or point it elsewhere',
  description: `An alias is another name for reading a table: by lookups, \`attend\`, descriptions and
downloads. With \`version\` it names that version; without, the current one. Every request sees the alias
either before or after a change. Updates go to the table itself. A version that it names stays
beyond \`keep_versions\`, within the memory quota. An alias outlives its table: it also reads
a new table of the same name. While the table or the version does not exist, reading is a 404 that says so.

\`\`\`sh
curl -fsS -X PUT http://127.0.0.1:8080/v1/aliases/production -H 'content-type: application/json' \\
  -d '{"table":"words"}'
curl -fsS http://127.0.0.1:8080/v1/tables/production/lookup -H 'content-type: application/json' \\
  -d '{"indices":[0]}'
\`\`\``,
  params: AliasParams,
  query: NoQuery,
  bodySchema: AliasBody,
  response: { 200: AliasAnswer, 201: AliasAnswer },
  accepts: { whole: ['json'] },
  bodyBytesMax: LIMITS.specificationBodyBytesMax,
  answers: ['json'],
  deadline: true,
  idempotent: true,
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ registry, writer }, { params, body, idempotencyKey, reply }) => {
    const { table, version = null } = checkBody(readJsonObject(body, []).members)
    const alias = { alias: params.alias, table, version }
    const request = hashRequest(['PUT', table, version])
    const { result, isReplay } = await runOnce(
      writer,
      { key: idempotencyKey, resource: { kind: 'alias', name: params.alias } },
      () => request,
      (keyId) => {
        // An alias of an alias is refused with the name of the table.
        registry.findTable(table)
        return writer.call('putAlias', { ...alias, key: toChangeKey(keyId, request) })
      },
    )
    if (result.created) reply.status(201).header('location', `/v1/aliases/${alias.alias}`)
    return reply.header('cache-control', 'no-cache').send(markReplay(reply, describeAlias(alias), isReplay))
  },
})

const remove = defineRoute({
  method: 'DELETE',
  url: URL,
  scope: 'admin',
  tag: 'versions',
  operationId: 'deleteAlias',
  summary: 'Delete an alias',
  description: 'The table stays.',
  params: AliasParams,
  query: NoQuery,
  response: { 204: emptyAnswer('The alias is deleted') },
  accepts: 'nothing',
  answers: [],
  deadline: true,
  idempotent: true,
  errors: ['ALIAS_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ writer }, { params: { alias }, idempotencyKey, reply }) => {
    const request = hashRequest(['DELETE'])
    const { isReplay } = await runOnce(
      writer,
      { key: idempotencyKey, resource: { kind: 'alias', name: alias } },
      () => request,
      (keyId) => writer.call('removeAlias', { alias, key: toChangeKey(keyId, request) }),
    )
    return sendNothing(reply, isReplay)
  },
})

/** `/v1/aliases` and `/v1/aliases/{alias}`. */
export const aliasRoutes: readonly Route[] = [list, get, put, remove]
