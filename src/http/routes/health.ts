import { refuse } from '../../core/errors.ts'
import type { App, HttpContext } from '../context.ts'
import { HealthAnswer } from '../schemas/service.ts'

/** `/livez`: the process answers. `/readyz`: it should be given requests. What orchestrators ask, so any Accept will do. */
export const addHealthRoutes = (app: App, { health }: HttpContext): void => {
  app.get('/livez', { schema: describeLive }, (_request, reply) => {
    reply.header('cache-control', 'no-store').send({ status: 'alive' })
  })

  app.get('/readyz', { schema: describeReady }, (_request, reply) => {
    if (health.state === 'draining') refuse('SHUTTING_DOWN', health.reason)
    if (health.state === 'loading') refuse('NOT_READY', health.reason)
    const { state, reason } = health
    reply
      .header('cache-control', 'no-store')
      .send(state === 'degraded' ? { status: state, reason } : { status: state })
  })
}

const describeLive = {
  tags: ['service'],
  summary: 'Is the process alive?',
  response: { 200: HealthAnswer },
}

const describeReady = {
  tags: ['service'],
  summary: 'Should it be given requests?',
  description:
    '503 with the reason until every table is loaded, and from the signal to stop until the end. `degraded`, with the reason: the disk takes no updates; lookups are answered.',
  response: { 200: HealthAnswer },
}
