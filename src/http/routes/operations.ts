/** Routes for people and programs that operate the service. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { HealthAnswer, LimitsAnswer, SnapshotsAnswer } from '../schemas/service.ts'
import { NoQuery } from '../schemas/table.ts'

const snapshots = defineRoute({
  method: 'POST',
  url: '/v1/snapshots',
  scope: 'admin',
  tag: 'service',
  operationId: 'writeSnapshots',
  summary: 'Write snapshots now',
  description: `Writes a snapshot of every version that has changed since its last one; lookups and
updates continue meanwhile. The service also writes snapshots by itself, depending on the size of the
journal and on age, and on shutdown. A restart restores a table with durability \`none\` from its last
snapshot.

\`\`\`sh
curl -fsS -X POST http://127.0.0.1:8080/v1/snapshots
\`\`\``,
  query: NoQuery,
  response: { 200: SnapshotsAnswer },
  accepts: 'nothing',
  answers: ['json'],
  deadline: true,
  errors: ['DISK_FULL'],
  handler: async ({ writer }, { reply }) =>
    reply.header('cache-control', 'no-store').send(await writer.call('snapshot', null)),
})

const limits = defineRoute({
  method: 'GET',
  url: '/v1/limits',
  scope: 'read',
  tag: 'service',
  operationId: 'getLimits',
  summary: 'The limits of the service',
  description:
    'Each name ends in its unit: bytes, a count, or milliseconds. A request beyond a limit is refused.',
  query: NoQuery,
  response: { 200: LimitsAnswer },
  answers: ['json'],
  whileLoading: true,
  errors: [],
  handler: (_context, { reply }) => {
    reply.header('cache-control', 'no-cache').send(LIMITS)
  },
})

// Orchestrators call the next two routes, so they accept any Accept header.
const live = defineRoute({
  method: 'GET',
  url: '/livez',
  scope: 'open',
  tag: 'service',
  operationId: 'getLiveness',
  summary: 'Report that the process is alive',
  response: { 200: HealthAnswer },
  answers: ['json'],
  negotiation: 'none',
  whileLoading: true,
  errors: [],
  handler: (_context, { reply }) => {
    reply.header('cache-control', 'no-store').send({ status: 'alive' })
  },
})

const ready = defineRoute({
  method: 'GET',
  url: '/readyz',
  scope: 'open',
  tag: 'service',
  operationId: 'getReadiness',
  summary: 'Report whether the service takes requests',
  description:
    'Answers 503 with the reason until every table is loaded, and again from the stop signal on. ' +
    'Answers `degraded` with the reason while the disk takes no updates; lookups still work.',
  response: { 200: HealthAnswer },
  answers: ['json'],
  negotiation: 'none',
  whileLoading: true,
  errors: [],
  handler: ({ health: { state, reason } }, { reply }) => {
    if (state === 'draining' || state === 'stopping') refuse('SHUTTING_DOWN', reason)
    if (state === 'loading') refuse('NOT_READY', reason)
    reply
      .header('cache-control', 'no-store')
      .send(state === 'degraded' ? { status: state, reason } : { status: state })
  },
})

/** `/v1/snapshots`, `/v1/limits`, `/livez` and `/readyz`. */
export const operationRoutes: readonly Route[] = [snapshots, limits, live, ready]
