import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { describeTable } from '../../tables/registry.ts'
import { version } from '../../version.ts'
import type { App, HttpContext } from '../context.ts'
import { documentOptions } from '../openapi/openapi-document.ts'
import { nameOrigin, originOf } from '../openapi/own-origin.ts'
import { chooseByAccept } from '../negotiate.ts'
import { renderErrorsPage, renderServicePage } from '../answer/pages.ts'
import { ERRORS_PAGE } from '../errors/problem.ts'
import { ProblemSchema } from '../schemas/problem.ts'
import { ServiceAnswer } from '../schemas/service.ts'
import { TableInfoSchema } from '../schemas/table.ts'
import { UploadInfoSchema } from '../schemas/uploads.ts'

const SHOWN_TABLES_MAX = 100

/** Collects the document from the routes that are added after it. */
export const addDocument = async (app: App): Promise<void> => {
  app.addSchema(ProblemSchema)
  app.addSchema(TableInfoSchema)
  app.addSchema(UploadInfoSchema)
  await app.register(swagger, documentOptions)
}

/** `/openapi.json`, Swagger UI at `/docs`, the page of errors, and the page at `/`. */
export const addDocsRoutes = async (app: App, context: HttpContext): Promise<void> => {
  let document: string | undefined
  const documentFor = (request: FastifyRequest): string =>
    nameOrigin((document ??= JSON.stringify(app.swagger())), originOf(request))
  app.get('/openapi.json', { schema: { hide: true } }, (request, reply) => {
    reply
      .type('application/json; charset=utf-8')
      .header('cache-control', 'no-cache')
      .send(documentFor(request))
  })

  await app.register(async (pages: App) => {
    await pages.register(helmet, {
      contentSecurityPolicy: { useDefaults: false, directives: POLICY },
      // TLS ends before us, if there is any: what depends on it is for whoever ends it.
      strictTransportSecurity: false,
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
    })
    await pages.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: UI,
      theme: { title: 'gatherd API' },
      transformSpecification: (_document, request) => JSON.parse(documentFor(request)),
      transformSpecificationClone: false,
    })
    pages.get(
      ERRORS_PAGE,
      { schema: { hide: true } },
      (_request, reply) => void sendHtml(reply, renderErrorsPage()),
    )
    pages.get('/', { schema: describeService }, (request, reply) => void sendService(context, request, reply))
  })
}

/** Swagger UI sets styles inline; nothing else may come from anywhere but here. */
const POLICY = {
  'default-src': ["'self'"],
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:'],
  'object-src': ["'none'"],
  'base-uri': ["'self'"],
  'form-action': ["'self'"],
  'frame-ancestors': ["'none'"],
}

const UI = {
  tryItOutEnabled: true,
  displayRequestDuration: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  layout: 'BaseLayout',
} as const

const sendHtml = (reply: FastifyReply, html: string): FastifyReply =>
  reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(html)

const sendService = (
  { registry, health }: HttpContext,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply => {
  const names = registry.names()
  const shown = names.slice(0, SHOWN_TABLES_MAX)
  reply.header('vary', 'accept')
  const accept = request.headers.accept ?? '*/*'
  if (chooseByAccept(accept, ['application/json', 'text/html'], (type) => type) === 'text/html') {
    const tables = shown.flatMap((name) => registry.get(name) ?? []).map(describeTable)
    const address = originOf(request)
    return sendHtml(
      reply,
      renderServicePage({ version, address, state: health.state, tables, tableCount: names.length }),
    )
  }
  const answer = {
    name: 'gatherd',
    version,
    ready: health.state === 'ready' || health.state === 'degraded',
    links: LINKS,
    tables: shown,
  }
  return reply.header('cache-control', 'no-cache').send(answer)
}

const LINKS = {
  tables: '/v1/tables',
  document: '/openapi.json',
  docs: '/docs',
  errors: ERRORS_PAGE,
  limits: '/v1/limits',
  live: '/livez',
  ready: '/readyz',
}

const describeService = {
  tags: ['service'],
  summary: 'What this is',
  description: 'JSON for programs; a page for people, whose browsers ask for text/html.',
  produces: ['application/json', 'text/html'],
  response: { 200: ServiceAnswer },
}
