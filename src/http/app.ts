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
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { App, HttpContext } from './context.ts'
import { answerClientError, answerError, answerUnknownRoute } from './errors/error-handler.ts'
import { openFastPath } from './fast-path/fast-path.ts'
import { isRequestId, parseRequestTimeout } from './negotiate.ts'
import { HttpRefusal } from './errors/problem.ts'
import { registerRoutes } from './routes.ts'
import { compileChecker, compileQueryChecker, type Query } from './validate.ts'

/** Log lines are few, so writing them at once costs less than a thread for them; standard output is for people. */
const STANDARD_ERROR = { write: (line: string) => void writeSync(2, line) }

export interface AppOptions {
  /** Where log lines go instead of to standard error. */
  logStream?: { write(line: string): void }
  /** Whether lookups of raw ids go by the fast path. */
  fastPath?: boolean
}

/**
 * The HTTP edge over `context`, ready to listen or to be injected into. Nothing is loaded from folders: hooks, plugins and routes
 * are added here and in routes.ts, in the order they run.
 */
export const buildApp = async (context: HttpContext, options: AppOptions = {}): Promise<App> => {
  const nextRequestId = createRequestIds()
  const app: App = fastify({
    logger: {
      level: context.logLevel,
      redact: ['headers.authorization', 'req.headers.authorization'],
      stream: options.logStream ?? STANDARD_ERROR,
    },
    // A line per request costs more than a small lookup.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: (raw) => nextRequestId(raw),
    routerOptions: { maxParamLength: LIMITS.urlBytesMax },
    keepAliveTimeout: LIMITS.keepAliveTimeoutMs,
    // Node's request timeout would end long uploads: receive.ts watches bodies instead.
    requestTimeout: 0,
    // While draining, what comes in on open connections is still served.
    return503OnClosing: false,
    frameworkErrors: answerError,
    clientErrorHandler: (error, socket) => answerClientError(error, socket as Socket, nextRequestId()),
    http: {
      headersTimeout: LIMITS.headersTimeoutMs,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: LIMITS.headerBytesMax,
      // checkHead does it, with a problem for an answer.
      requireHostHeader: false,
      insecureHTTPParser: false,
    },
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.server.maxConnections = LIMITS.connectionCountMax
  // Node drops headers beyond a maximum without a word; checkHead refuses them.
  app.server.maxHeadersCount = 0
  // A logger of its own costs a request as much as the lookup; the few lines that are about one say its id themselves.
  app.setChildLoggerFactory((logger) => logger)
  app.setValidatorCompiler(compileValidator)
  app.setSerializerCompiler(() => (value) => JSON.stringify(value))
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply))
  app.setNotFoundHandler((request, reply) => answerUnknownRoute(app, request, reply))
  app.removeAllContentTypeParsers()
  // Decorated, so that requests keep one hidden class.
  app.decorateRequest('deadlineAt', undefined)
  app.addHook('onRequest', (request, reply, done) => {
    let refusal: Error | undefined
    try {
      checkHead(context, request, reply)
    } catch (error) {
      refusal = error as Error
    }
    done(refusal)
  })
  if (app.log.level === 'debug' || app.log.level === 'trace') app.addHook('onResponse', logResponse)
  // A log of every answer is the route's to write.
  else if (options.fastPath) openFastPath(app, context)
  await registerRoutes(app, context)
  await app.ready()
  return app
}

/** Ids of requests: the client's own when it can be logged as it is, else one that is unique to this process. */
const createRequestIds = (): ((raw?: IncomingMessage) => string) => {
  const prefix = randomBytes(6).toString('base64url')
  let count = 0
  return (raw) => {
    const given = raw?.headers['x-request-id']
    return isRequestId(given) ? given : `${prefix}-${(count++).toString(36)}`
  }
}

/** What holds for every request, before its route is looked at. Refuses INVALID_REQUEST (400, 414, 431) and NOT_READY. */
const checkHead = ({ health }: HttpContext, request: FastifyRequest, reply: FastifyReply): void => {
  const { raw } = request
  const { headers, url = '' } = raw
  reply.header('x-content-type-options', 'nosniff')
  if (headers['x-request-id'] !== undefined) reply.header('x-request-id', request.id)
  if (health.state === 'draining') reply.header('connection', 'close')
  if (raw.rawHeaders.length > 2 * LIMITS.headerCountMax) {
    throw new HttpRefusal(431, 'INVALID_REQUEST', `a request has at most ${LIMITS.headerCountMax} headers`)
  }
  if (url.length > LIMITS.urlBytesMax)
    throw new HttpRefusal(414, 'INVALID_REQUEST', `the URL has at most ${LIMITS.urlBytesMax} bytes`)
  if (headers.host === undefined && raw.httpVersion === '1.1')
    refuse('INVALID_REQUEST', 'the Host header is missing')
  if (health.state === 'loading' && url.startsWith('/v1/') && !url.startsWith('/v1/limits'))
    refuse('NOT_READY', health.reason)
  const timeoutMs = parseRequestTimeout(headers['x-request-timeout-ms'])
  if (timeoutMs !== undefined) request.deadlineAt = Date.now() + timeoutMs
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
 * Parameters and queries are checked by their schemas. Bodies are bytes at this point, and headers are read where they matter:
 * their schemas are for the document.
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
