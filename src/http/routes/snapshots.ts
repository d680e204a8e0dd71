import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { negotiateFormat } from '../negotiate.ts'
import { acceptNoBody } from '../body/receive.ts'
import { SnapshotsAnswer } from '../schemas/service.ts'
import { NoQuery } from '../schemas/table.ts'

/** `POST /v1/snapshots`: writes now what would be written some time. */
export const addSnapshotsRoute = (app: App, { writer }: HttpContext): void => {
  app.register(async (scope: App) => {
    acceptNoBody(scope)
    scope.post('/v1/snapshots', { schema: describeSnapshots }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      return reply.header('cache-control', 'no-store').send(await writer.call('snapshot', null))
    })
  })
}

const describeSnapshots = {
  tags: ['service'],
  summary: 'Write snapshots now',
  description: `Of every version that has changed since its last one; lookups and updates go on meanwhile. They are also written by themselves, by the size of the
journal and by age, and on shutdown. For tables with durability \`none\` this is what a restart brings back.

\`\`\`sh
curl -fsS -X POST http://127.0.0.1:8080/v1/snapshots
\`\`\``,
  querystring: NoQuery,
  response: { 200: SnapshotsAnswer },
}
