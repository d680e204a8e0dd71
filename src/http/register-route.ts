/** Makes Fastify routes from declarations. */
import type { FastifyReply, FastifyRequest, HTTPMethods, RouteOptions } from 'fastify'
import { parseContentDigest } from '../formats/digest.ts'
import { acceptBodies } from './body/receive.ts'
import { checkConnected, checkDeadline, parseIdempotencyKey, parsePrecondition } from './conditions.ts'
import type { App, HttpContext } from './context.ts'
import { methodsOf, type Route, type RouteCall } from './define-route.ts'
import { type Format, negotiateFormat } from './negotiate.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The declaration of the route. Routes of plugins have none. */
    declaration?: Route
  }
}

/**
 * Makes a Fastify route of a declaration. A route that reads bodies gets a scope of its own, because the
 * parsers of Fastify belong to scopes.
 */
export const registerRoute = (app: App, context: HttpContext, route: Route): void => {
  const options = {
    method: methodsOf(route) as HTTPMethods[],
    url: route.url,
    schema: describeSchemas(route),
    config: { declaration: route },
    ...(route.bodyBytesMax !== undefined && { bodyLimit: route.bodyBytesMax }),
    ...(route.ownHead && { exposeHeadRoute: false }),
    handler: (request: FastifyRequest, reply: FastifyReply) =>
      route.handler(context, negotiate(route, request, reply)),
  } as RouteOptions
  if (route.accepts === undefined) {
    app.route(options)
    return
  }
  app.register(async (scope: App) => {
    acceptBodies(scope, context, route)
    scope.route(options)
  })
}

/** The schemas under the names that Fastify gives them. Fastify checks `params` and `querystring` by them. */
const describeSchemas = ({ params, query, bodySchema, response }: Route): Record<string, unknown> => ({
  ...(params !== undefined && { params }),
  ...(query !== undefined && { querystring: query }),
  ...(bodySchema !== undefined && { body: bodySchema }),
  response,
})

/** Applies the declaration to one request. Refuses a request that does not fit the declaration. */
const negotiate = (
  route: Route,
  request: FastifyRequest,
  reply: FastifyReply,
): RouteCall<unknown, unknown, never, never> => {
  const { headers } = request
  if (route.deadline) {
    checkDeadline(request)
    checkConnected(reply)
  }
  const { answers, negotiation = 'declared' } = route
  const encoding =
    negotiation === 'declared' && answers.length > 0
      ? negotiateFormat(headers.accept, answers as readonly Format[])
      : undefined
  const digest = route.verifiesDigest ? headers['content-digest'] : undefined
  return {
    params: request.params,
    query: request.query,
    body: request.body as never,
    bodyFormat: request.bodyFormat as never,
    encoding: encoding as never,
    idempotencyKey: route.idempotent ? parseIdempotencyKey(headers['idempotency-key']) : undefined,
    precondition: route.conditional ? parsePrecondition(headers) : {},
    digest: digest === undefined ? undefined : parseContentDigest(String(digest)),
    request,
    reply,
  }
}
