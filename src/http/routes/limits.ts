import { LIMITS } from '../../core/limits.ts'
import type { App } from '../context.ts'
import { negotiateFormat } from '../negotiate.ts'
import { LimitsAnswer } from '../schemas/service.ts'
import { NoQuery } from '../schemas/table.ts'

/** `GET /v1/limits`: every bound of the service. */
export const addLimitsRoute = (app: App): void => {
  app.get('/v1/limits', { schema: describeLimits }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    reply.header('cache-control', 'no-cache').send(LIMITS)
  })
}

const describeLimits = {
  tags: ['service'],
  summary: 'The limits of the service',
  description:
    'Names end in their unit: bytes, a count, or milliseconds. Reaching one is an error that says so.',
  querystring: NoQuery,
  response: { 200: LimitsAnswer },
}
