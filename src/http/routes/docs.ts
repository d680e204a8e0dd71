/** The routes that show the service to people: the OpenAPI document, Swagger UI, and HTML pages. */
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { describeTable } from '../../tables/registry.ts'
import { version } from '../../version.ts'
import type { App, HttpContext } from '../context.ts'
import { defineRoute } from '../define-route.ts'
import { type OpenApiDocument, toOpenApi31 } from '../openapi/finish-document.ts'
import { documentOptions, nameOrigin, originOf } from '../openapi/openapi-document.ts'
import { chooseByAccept } from '../negotiate.ts'
import { DOCS_THEME } from '../answer/docs-theme.ts'
import { renderErrorsPage, renderServicePage } from '../answer/pages.ts'
import { ERRORS_PAGE } from '../errors/problem.ts'
import { registerRoute } from '../register-route.ts'
import { ProblemSchema, ServiceAnswer } from '../schemas/service.ts'
import { TableInfoSchema } from '../schemas/table.ts'
import { UploadInfoSchema } from '../schemas/uploads.ts'

const SHOWN_TABLES_MAX = 100

/** Registers the OpenAPI document, which collects the routes that are added afterwards. */
export const addDocument = async (app: App): Promise<void> => {
  app.addSchema(ProblemSchema)
  app.addSchema(TableInfoSchema)
  app.addSchema(UploadInfoSchema)
  await app.register(swagger, documentOptions)
}

const DOCUMENT = '/openapi.json'

/** The documents by their paths. Tools that do not know OpenAPI 3.2 yet read the second. */
const DOCUMENTS: Readonly<Record<string, (document: OpenApiDocument) => OpenApiDocument>> = {
  [DOCUMENT]: (document) => document,
  '/openapi-3.1.json': toOpenApi31,
}

/** The OpenAPI documents, Swagger UI at `/docs`, the page of errors, and the page at `/`. */
export const addDocsRoutes = async (app: App, context: HttpContext): Promise<void> => {
  const texts = new Map<string, string>()
  /** The text is made at its first reading, because most services are never asked for it. */
  const documentFor = (request: FastifyRequest, url = DOCUMENT): string => {
    const text = texts.get(url) ?? JSON.stringify(DOCUMENTS[url](app.swagger() as OpenApiDocument))
    texts.set(url, text)
    return nameOrigin(text, originOf(request))
  }
  for (const url of Object.keys(DOCUMENTS)) {
    app.get(url, (request, reply) => {
      reply
        .type('application/json; charset=utf-8')
        .header('cache-control', 'no-cache')
        .send(documentFor(request, url))
    })
  }

  await app.register(async (pages: App) => {
    await pages.register(helmet, {
      contentSecurityPolicy: { useDefaults: false, directives: POLICY },
      // If there is TLS, it ends at a proxy, which sets these headers.
      strictTransportSecurity: false,
      crossOriginOpenerPolicy: false,
      originAgentCluster: false,
    })
    await pages.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: UI,
      theme: DOCS_THEME,
      transformSpecification: (_document, request) => JSON.parse(documentFor(request)),
      transformSpecificationClone: false,
    })
    pages.get(ERRORS_PAGE, (_request, reply) => void sendHtml(reply, renderErrorsPage()))
    registerRoute(pages, context, serviceRoute)
  })
}

/** Swagger UI sets styles inline. Everything else must come from this server. */
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

const LINKS = {
  tables: '/v1/tables',
  document: DOCUMENT,
  document_3_1: '/openapi-3.1.json',
  docs: '/docs',
  errors: ERRORS_PAGE,
  limits: '/v1/limits',
  live: '/livez',
  ready: '/readyz',
}

/** Answers JSON to programs, and a page to browsers, which accept text/html. */
const serviceRoute = defineRoute({
  method: 'GET',
  url: '/',
  scope: 'open',
  tag: 'service',
  operationId: 'getService',
  summary: 'Describe the service',
  description: 'Programs get JSON; browsers, which accept text/html, get a page.',
  response: { 200: ServiceAnswer },
  answers: ['json', 'html'],
  negotiation: 'none',
  whileLoading: true,
  errors: [],
  handler: ({ registry, health: { state } }, { request, reply }) => {
    const names = registry.names()
    const shown = names.slice(0, SHOWN_TABLES_MAX)
    reply.header('vary', 'accept')
    const accept = request.headers.accept ?? '*/*'
    if (chooseByAccept(accept, ['application/json', 'text/html'], (type) => type) === 'text/html') {
      const tables = shown.flatMap((name) => registry.get(name) ?? []).map(describeTable)
      const address = originOf(request)
      sendHtml(reply, renderServicePage({ version, address, state, tables, tableCount: names.length }))
      return
    }
    reply.header('cache-control', 'no-cache').send({
      name: 'gatherd',
      version,
      ready: state === 'ready' || state === 'degraded',
      links: LINKS,
      tables: shown,
    })
  },
})
