import type { Static } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { tableBytes } from '../../layout/table-layout.ts'
import type { TableEntry } from '../../tables/registry.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { negotiateFormat, parsePrecondition } from '../negotiate.ts'
import { acceptBodies } from '../body/receive.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'
import { RollbackBody, VersionsAnswer } from '../schemas/versions.ts'
import { compileChecker } from '../validate.ts'
import { sendTable } from './tables.ts'

const checkRollback = compileChecker(RollbackBody)

/** `GET /v1/tables/{table}/versions` and `POST /v1/tables/{table}/rollback`. */
export const addVersionRoutes = (app: App, { registry, writer }: HttpContext): void => {
  app.get('/v1/tables/:table/versions', { schema: describeVersions }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    reply.header('cache-control', 'no-cache').send(listVersions(registry.find(request.params.table)))
  })
  app.register(async (scope: App) => {
    acceptBodies(scope, ['json'], LIMITS.specificationBodyBytesMax)
    scope.post('/v1/tables/:table/rollback', { schema: describeRollback }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { table: name } = request.params
      registry.findTable(name)
      const { version } = checkRollback(readJsonObject(request.body as unknown as Buffer, []).members)
      await writer.call('rollback', { name, version, precondition: parsePrecondition(request.headers) })
      return sendTable(reply, registry.findTable(name))
    })
  })
}

const listVersions = ({ record }: TableEntry): Static<typeof VersionsAnswer> => ({
  versions: record.versions.map(({ version, createdAt, rows, dim, dtype }) => ({
    version,
    created_at: new Date(createdAt).toISOString(),
    bytes: tableBytes(rows, dim, dtype),
    // What an alias of one version reads is not what the table is.
    current: version === record.current,
  })),
})

const describeVersions = {
  tags: ['versions'],
  summary: 'List the readable versions of a table',
  description:
    'Each can be looked up with `?version=` and made current again by `rollback`. `keep_versions` says how many stay.',
  params: TableParams,
  querystring: NoQuery,
  response: { 200: VersionsAnswer },
}

const describeRollback = {
  tags: ['versions'],
  summary: 'Make an earlier version current again',
  description: `In an instant, with the updates that it had. No version goes away by it, unless there are more than \`keep_versions\`; the next replacement takes the
highest number ever used plus one. Settings stay as they are. \`If-Match\` makes it conditional.

\`\`\`sh
url=http://127.0.0.1:8080/v1/tables/words
version=$(curl -fsS $url | sed -E 's/.*"version":([0-9]+).*/\\1/')
curl -fsS -X PUT $url -H 'content-type: application/json' -d '{"rows":4,"dim":3}'
curl -fsS $url/rollback -H 'content-type: application/json' -d "{\\"version\\":$version}"
\`\`\``,
  params: TableParams,
  querystring: NoQuery,
  body: RollbackBody,
  response: { 200: TableInfoRef },
}
