import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { HealthAnswer, LimitsAnswer, SnapshotsAnswer } from '../schemas/service.ts'
import { NoQuery } from '../schemas/table.ts'

/** Routes for people and programs that operate the service. */

const snapshots = defineRoute({
  method: 'POST',
  url: '/v1/snapshots',
  scope: 'admin',
  tag: 'service',
  summary: 'Write snapshots now',
  description: `Of every version that has changed since its last one; lookups and updates go on meanwhile.
They are also written by themselves, by the size of the journal and by age, and on shutdown. For tables with
durability \`none\` this is what a restart brings back.

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
  summary: 'The limits of the service',
  description:
    'Names end in their unit: bytes, a count, or milliseconds. Reaching one is an error that says so.',
  query: NoQuery,
  response: { 200: LimitsAnswer },
  answers: ['json'],
  whileLoading: true,
  errors: [],
  handler: (_context, { reply }) => {
    reply.header('cache-control', 'no-cache').send(LIMITS)
  },
})

// Orchestrators ask the next two, so any Accept will do.
const live = defineRoute({
  method: 'GET',
  url: '/livez',
  scope: 'open',
  tag: 'service',
  summary: 'Is the process alive?',
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
  summary: 'Should it be given requests?',
  description:
    '503 with the reason until every table is loaded, and from the signal to stop until the end. ' +
    '`degraded`, with the reason: the disk takes no updates; lookups are answered.',
  response: { 200: HealthAnswer },
  answers: ['json'],
  negotiation: 'none',
  whileLoading: true,
  errors: [],
  handler: ({ health: { state, reason } }, { reply }) => {
    if (state === 'draining') refuse('SHUTTING_DOWN', reason)
    if (state === 'loading') refuse('NOT_READY', reason)
    reply
      .header('cache-control', 'no-store')
      .send(state === 'degraded' ? { status: state, reason } : { status: state })
  },
})

/** `/v1/snapshots`, `/v1/limits`, `/livez` and `/readyz`. */
export const operationRoutes: readonly Route[] = [snapshots, limits, live, ready]
