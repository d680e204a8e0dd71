import type { Static } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import type { AliasRecord } from '../../tables/handles.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { negotiateFormat } from '../negotiate.ts'
import { acceptBodies, acceptNoBody } from '../body/receive.ts'
import { emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery } from '../schemas/table.ts'
import { AliasAnswer, AliasBody, AliasesAnswer, AliasParams } from '../schemas/versions.ts'
import { compileChecker } from '../validate.ts'

const PATH = '/v1/aliases/:alias'

const checkBody = compileChecker(AliasBody)

/** `/v1/aliases` and `/v1/aliases/{alias}`. */
export const addAliasRoutes = (app: App, { registry, writer }: HttpContext): void => {
  app.get('/v1/aliases', { schema: describeList }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    reply.header('cache-control', 'no-cache').send({ aliases: registry.aliases().map(describeAlias) })
  })
  app.get(PATH, { schema: describeGet }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    reply.header('cache-control', 'no-cache').send(describeAlias(registry.findAlias(request.params.alias)))
  })
  app.register(async (scope: App) => {
    acceptBodies(scope, ['json'], LIMITS.specificationBodyBytesMax)
    scope.put(PATH, { schema: describePut }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { table, version = null } = checkBody(
        readJsonObject(request.body as unknown as Buffer, []).members,
      )
      // An alias of an alias is refused with the name of the table.
      registry.findTable(table)
      const alias = { alias: request.params.alias, table, version }
      const { created } = await writer.call('putAlias', alias)
      if (created) reply.status(201).header('location', `/v1/aliases/${alias.alias}`)
      return reply.header('cache-control', 'no-cache').send(describeAlias(alias))
    })
  })
  app.register(async (scope: App) => {
    acceptNoBody(scope)
    scope.delete(PATH, { schema: describeDelete }, async (request, reply) => {
      checkDeadline(request)
      await writer.call('removeAlias', { alias: request.params.alias })
      return reply.status(204).send()
    })
  })
}

const describeAlias = ({ alias, table, version }: AliasRecord): Static<typeof AliasAnswer> => ({
  alias,
  table,
  version,
})

const describeList = {
  tags: ['versions'],
  summary: 'List aliases',
  querystring: NoQuery,
  response: { 200: AliasesAnswer },
}

const describeGet = {
  tags: ['versions'],
  summary: 'Describe an alias',
  params: AliasParams,
  querystring: NoQuery,
  response: { 200: AliasAnswer },
}

const describePut = {
  tags: ['versions'],
  summary: 'Create an alias, or point it elsewhere',
  description: `Another name to read a table by: lookups, \`attend\`, descriptions, downloads. With \`version\` it stays at that one; without, it is whichever is
current. Every request sees it before or after the change, none in between. Changes go to the table itself. The alias outlives its table: a table that is made
again under the name is what it reads then; while table or version is gone, reading is a 404 that says so.

\`\`\`sh
curl -fsS -X PUT http://127.0.0.1:8080/v1/aliases/production -H 'content-type: application/json' -d '{"table":"words"}'
curl -fsS http://127.0.0.1:8080/v1/tables/production/lookup -H 'content-type: application/json' -d '{"indices":[0]}'
\`\`\``,
  params: AliasParams,
  querystring: NoQuery,
  body: AliasBody,
  response: { 200: AliasAnswer, 201: AliasAnswer },
}

const describeDelete = {
  tags: ['versions'],
  summary: 'Delete an alias',
  description: 'The table stays.',
  params: AliasParams,
  querystring: NoQuery,
  response: { 204: emptyAnswer('It is gone') },
}
