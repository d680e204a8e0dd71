/** The routes that list the versions of a table and roll it back. */
import { hash } from 'node:crypto'
import type { Static } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { tableBytes } from '../../layout/table-layout.ts'
import type { TableEntry } from '../../tables/registry.ts'
import { changeTable, hashRequest } from '../../update/run-once.ts'
import { sendTableInfo } from '../answer/send-table.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'
import { RollbackBody, VersionsAnswer } from '../schemas/versions.ts'
import { compileChecker } from '../validate.ts'

const checkRollback = compileChecker(RollbackBody)

const listVersions = ({ record }: TableEntry): Static<typeof VersionsAnswer> => ({
  versions: record.versions.map(({ version, createdAt, rows, dim, dtype }) => ({
    version,
    created_at: new Date(createdAt).toISOString(),
    bytes: tableBytes(rows, dim, dtype),
    // This is about the table, also when it is read under an alias of one version.
    current: version === record.current,
    ...(record.held.has(version) && { held_by: [...(record.held.get(version) ?? [])] }),
  })),
})

const list = defineRoute({
  method: 'GET',
  url: '/v1/tables/:table/versions',
  scope: 'read',
  tag: 'versions',
  operationId: 'listVersions',
  summary: 'List the readable versions of a table',
  description:
    'Each version can be looked up with `?version=` and made current again by `rollback`. ' +
    '`keep_versions` is the number that stays; a version that aliases name (`held_by`) stays beyond it.',
  params: TableParams,
  query: NoQuery,
  response: { 200: VersionsAnswer },
  answers: ['json'],
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND'],
  handler: ({ registry }, { params, reply }) => {
    reply.header('cache-control', 'no-cache').send(listVersions(registry.find(params.table)))
  },
})

const rollback = defineRoute({
  method: 'POST',
  url: '/v1/tables/:table/rollback',
  scope: 'admin',
  tag: 'versions',
  operationId: 'rollbackTable',
  summary: 'Make an earlier version current again',
  description: `Takes effect at once, with the updates that the version had. No version is removed, unless
there are more than \`keep_versions\`; the next replacement gets the highest number ever used plus one.
Settings do not change. \`If-Match\` makes the request conditional.

\`\`\`sh
url=http://127.0.0.1:8080/v1/tables/words
version=$(curl -fsS $url | sed -E 's/.*"version":([0-9]+).*/\\1/')
curl -fsS -X PUT $url -H 'content-type: application/json' -d '{"rows":4,"dim":3}'
curl -fsS $url/rollback -H 'content-type: application/json' -d "{\\"version\\":$version}"
\`\`\``,
  params: TableParams,
  query: NoQuery,
  bodySchema: RollbackBody,
  response: { 200: TableInfoRef },
  accepts: { whole: ['json'] },
  bodyBytesMax: LIMITS.specificationBodyBytesMax,
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL', 'VERSION_NOT_FOUND'],
  handler: async ({ registry, writer }, { params: { table: name }, body, precondition, ...call }) => {
    const request = hashRequest(['rollback'], hash('sha256', body, 'buffer'))
    const { result, isReplay } = await changeTable(
      { writer, registry },
      { name, idempotencyKey: call.idempotencyKey, request },
      (key) => {
        const { version } = checkRollback(readJsonObject(body, []).members)
        return writer.call('rollback', { name, version, precondition, key })
      },
    )
    return sendTableInfo(call.reply, result, isReplay)
  },
})

/** `GET /v1/tables/{table}/versions` and `POST /v1/tables/{table}/rollback`. */
export const versionRoutes: readonly Route[] = [list, rollback]
