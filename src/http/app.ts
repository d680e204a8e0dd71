/** Builds the Fastify app of an HTTP worker: its options, hooks and error handlers. */
import { randomBytes } from 'node:crypto'
import { writeSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, {
  type FastifyReply,
  type FastifyRequest,
  type FastifySchemaCompiler,
  LogController,
} from 'fastify'
import type { TSchema } from 'typebox'
import { GatherdError, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { admit, type HeadFacts, isLastOfConnection, REFUSALS, type Refusal } from './admit.ts'
import { holdExpectations } from './connection/expectations.ts'
import { prepareSockets } from './connection/server-sockets.ts'
import { takeTurn } from './connection/request-order.ts'
import type { App, HttpContext } from './context.ts'
import { answerClientError, answerConnect } from './errors/client-errors.ts'
import { answerError, answerUnknownRoute } from './errors/error-handler.ts'
import { openFastPath } from './fast-path/fast-path.ts'
import { findHeadFlaw, pathOfTarget } from './head-facts.ts'
import { isRequestId, parseRequestTimeout } from './negotiate.ts'
import { HttpRefusal } from './errors/problem.ts'
import { registerRoutes, ROUTES } from './routes.ts'
import { compileChecker, compileQueryChecker, type Query } from './validate.ts'

/**
 * Writes log lines to standard error synchronously: they are few, so this costs less than a logging thread.
 * Standard output is for people.
 */
const STANDARD_ERROR = { write: (line: string) => void writeSync(2, line) }

export interface AppOptions {
  /** Takes log lines in place of standard error. */
  logStream?: { write(line: string): void }
}

/**
 * Builds the HTTP app over `context`, ready to listen or to be injected into. Hooks, plugins and routes are
 * added here and in routes.ts, in the order in which they run; nothing is loaded from folders.
 */
export const buildApp = async (context: HttpContext, options: AppOptions = {}): Promise<App> => {
  const nextRequestId = createRequestIds()
  const app: App = fastify({
    logger: {
      level: context.settings.logLevel,
      redact: ['headers.authorization', 'req.headers.authorization'],
      stream: options.logStream ?? STANDARD_ERROR,
    },
    // A log line per request would cost more than a small lookup.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (raw) => nextRequestId(raw),
    routerOptions: { maxParamLength: LIMITS.urlBytesMax },
    keepAliveTimeout: context.settings.keepAliveMs,
    // Node's request timeout would end long uploads, so receive.ts watches bodies itself.
    requestTimeout: 0,
    // While draining, requests on open connections are still served.
    return503OnClosing: false,
    frameworkErrors: answerError,
    rewriteUrl: ({ url = '' }) => pathOfTarget(url),
    clientErrorHandler: (error, socket) => answerClientError(error, socket as Socket, nextRequestId()),
    http: {
      headersTimeout: LIMITS.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: LIMITS.headerBytesMax,
      // Admission refuses a missing Host, so that the answer is a problem document.
      requireHostHeader: false,
      insecureHTTPParser: false,
    },
  }).withTypeProvider<TypeBoxTypeProvider>()
  prepareSockets(app.server, context)
  holdExpectations(app.server)
  app.server.on('connect', (_request, socket: Socket) => answerConnect(socket, nextRequestId()))
  app.server.maxConnections = LIMITS.connectionCountMax
  // Node would silently drop headers beyond a maximum; admission refuses them instead.
  app.server.maxHeadersCount = 0
  // A logger per request would cost as much as a lookup; the few lines about a request contain its id
  // themselves.
  app.setChildLoggerFactory((logger) => logger)
  app.setValidatorCompiler(compileValidator)
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply))
  app.setNotFoundHandler((request, reply) => answerUnknownRoute(app, ROUTES, request, reply))
  app.removeAllContentTypeParsers()
  // The properties are declared here, so that all requests share one hidden class.
  app.decorateRequest('deadlineAt', undefined)
  app.decorateRequest('bodyFormat', undefined)
  app.decorateRequest('arenaBody', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    takeTurn(request.raw, reply.raw, (result) => {
      let refusal: Error | undefined
      try {
        if (result === 'closed') refuse('DEADLINE_EXCEEDED', 'the connection has ended before this request')
        checkHead(context, request, reply)
      } catch (error) {
        refusal = error as Error
      }
      done(refusal)
    })
  })
  if (app.log.level === 'debug' || app.log.level === 'trace') app.addHook('onResponse', logResponse)
  // The fast path logs no answers, so it stays closed when every answer is logged.
  else if (context.settings.fastPath) openFastPath(app, context)
  await registerRoutes(app, context)
  await app.ready()
  return app
}

/**
 * Creates request ids: the client's own if it can be logged, otherwise one that is unique to this process.
 */
const createRequestIds = (): ((raw?: IncomingMessage) => string) => {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return (raw) => {
    const clientId = raw?.headers['x-request-id']
    return isRequestId(clientId) ? clientId : `${prefix}-${(count++).toString(36)}`
  }
}

/** Admits a request by its head, or refuses it, before anything of its body is read. */
const checkHead = (context: HttpContext, request: FastifyRequest, reply: FastifyReply): void => {
  const { raw } = request
  const { headers, url = '' } = raw
  reply.header('x-content-type-options', 'nosniff')
  if (headers['x-request-id'] !== undefined) reply.header('x-request-id', request.id)
  // node:http drops what follows an offer to upgrade in the same read, so nothing may follow.
  if (isLastOfConnection(context) || headers.upgrade !== undefined) endAfter(reply)
  const declaration = request.routeOptions.config?.declaration
  const facts: HeadFacts = {
    urlBytes: url.length,
    headerCount: raw.rawHeaders.length / 2,
    flaw: findHeadFlaw(raw),
    // An unknown path is a 404, but an unknown path of the API is refused like its other paths until the
    // tables are loaded.
    needsTables: declaration === undefined ? url.startsWith('/v1/') : declaration.whileLoading !== true,
  }
  const refusal = admit(facts, context)
  if (refusal !== null) {
    if (REFUSALS[refusal].closes === true) endAfter(reply)
    throw toError(refusal, context.health.reason)
  }
  const timeoutMs = parseRequestTimeout(headers['x-request-timeout-ms'])
  if (timeoutMs !== undefined) request.deadlineAt = Date.now() + timeoutMs
}

/** Makes node:http end the connection after the answer, and say so in it. */
const endAfter = ({ raw }: FastifyReply): void => {
  raw.shouldKeepAlive = false
}

const toError = (refusal: Refusal, reason: string): GatherdError => {
  const { code, detail = reason, status } = REFUSALS[refusal]
  return status === undefined ? new GatherdError(code, detail) : new HttpRefusal(status, code, detail)
}

const logResponse = (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
  const { id, method, url } = request
  request.log.debug(
    { reqId: id, method, url: url.slice(0, 256), status: reply.statusCode, ms: reply.elapsedTime },
    'answered',
  )
  done()
}

/**
 * Checks path parameters and queries by their schemas. Bodies are still bytes at this point, and headers are
 * read as the route's declaration says; their schemas are only for the OpenAPI document.
 */
const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  if (httpPart === 'querystring')
    return reportRefusal(compileQueryChecker(schema) as (value: Query) => unknown)
  if (httpPart === 'params') return reportRefusal(compileChecker(schema) as (value: unknown) => unknown)
  return acceptAny
}

const acceptAny = (): true => true

const reportRefusal =
  <Input>(check: (value: Input) => unknown) =>
  (value: Input): { value: unknown } | { error: Error } => {
    try {
      return { value: check(value) }
    } catch (error) {
      return { error: error as Error }
    }
  }
