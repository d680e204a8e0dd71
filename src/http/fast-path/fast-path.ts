/** Opens the fast path, which answers plain lookups and updates without `node:http` and Fastify. */
import type { Socket } from 'node:net'
import { GatherdError } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { countDelivered } from '../../system/socket-queue.ts'
import type { App, HttpContext } from '../context.ts'
import { isAdmitted } from './admission.ts'
import type { ReservedBody } from './arriving-body.ts'
import { FastPathConnection } from './connection.ts'
import type { FastPathExits, Served } from './exits.ts'
import { createHeadReader, type KnownHead } from './known-heads.ts'
import type { FastPathHead } from './read-head.ts'
import { createServeLookup } from './serve-lookup.ts'
import { createServeUpdate, reserveUpdate } from './serve-update.ts'

const SWEEP_MS = 250

/**
 * If a body takes longer than this, Fastify waits for the rest of it, because Fastify's timeouts decide when
 * it is too late.
 */
const BODY_WAIT_MS = 500

/** The time that `node:http` waits beyond the Keep-Alive timeout that it announces. */
const KEEP_ALIVE_MARGIN_MS = 1_000

/**
 * All connections share one read buffer, because its bytes are consumed before the next read. Longer bodies
 * are read straight into their own memory.
 */
const READ_BYTES = 32 * 1024

/**
 * Opens the fast path, which reads new connections of `app` before `node:http` does. It answers plain lookups
 * and updates, by far the most frequent requests of a busy service, without `node:http`, which is half of the
 * cost of a small lookup and of a large body (docs/explanation/performance.md). The first other request hands
 * the connection to Fastify for good. Answers, limits and timeouts are the same on both paths. Call it before
 * the app is ready.
 */
export const openFastPath = (app: App, context: HttpContext): void => {
  const { server } = app
  const { keepAliveMs } = context.settings
  const connections = new Set<FastPathConnection>()
  let nowMs = performance.now()
  let isOpen = true
  const httpListeners = server.listeners('connection') as ((this: typeof server, socket: Socket) => void)[]
  // A refusal is not logged, because the route finds it again and answers it. Any other error is a bug that
  // the route may not have.
  const report = (error: unknown): void => {
    if (error instanceof GatherdError) return
    app.log.error({ err: error }, 'the fast path failed and handed the request to Fastify')
  }
  const exits: FastPathExits<FastPathConnection> = {
    readHead: createHeadReader(),
    admits: ({ facts }) => isAdmitted(facts, context),
    reserve: (head) => (head.route === 'lookup' ? reserveLookup(head) : reserveUpdate(context, head, report)),
    serve: createServe(context, report),
    readBuffer: Buffer.allocUnsafeSlow(READ_BYTES),
    nowMs: () => nowMs,
    forget: (connection) => connections.delete(connection),
    giveToFastify: (socket) => {
      for (const listener of httpListeners) listener.call(server, socket)
    },
  }
  const sweep = (): void => {
    nowMs = performance.now()
    for (const connection of connections) closeOverdue(connection, nowMs, keepAliveMs, refuseLate)
  }
  const refuseLate = (connection: FastPathConnection): void => {
    connection.demote()
    server.emit(
      'clientError',
      Object.assign(new Error('no request arrived in time'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
      connection.socket,
    )
  }
  const sweeper = setInterval(sweep, SWEEP_MS).unref()
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    if (isOpen) connections.add(new FastPathConnection(socket, exits))
    else exits.giveToFastify(socket)
  })
  const endIdle = (): Iterable<Socket> => {
    isOpen = false
    clearInterval(sweeper)
    return leaveFastPath(connections)
  }
  context.connections.add(endIdle)
  app.addHook('preClose', (done) => {
    endIdle()
    done()
  })
}

/** Ends idle connections, and hands the others to Fastify, but for those that end after an answer. */
const leaveFastPath = (connections: ReadonlySet<FastPathConnection>): Iterable<Socket> => {
  for (const connection of connections) {
    if (connection.isIdle) connection.close()
    else connection.demote()
  }
  return [...connections].map(({ socket }) => socket)
}

/** Notes the time when the client has taken some of an answer since the last look. */
const noteDelivery = (connection: FastPathConnection, nowMs: number): void => {
  const deliveredBytes = countDelivered(connection.socket)
  if (deliveredBytes === connection.deliveredBytes) return
  connection.deliveredBytes = deliveredBytes
  connection.heardAtMs = nowMs
}

/** Ends a connection, or hands it to Fastify, when it has made no progress for too long. */
const closeOverdue = (
  connection: FastPathConnection,
  nowMs: number,
  keepAliveMs: number,
  refuseLate: (connection: FastPathConnection) => void,
): void => {
  const { socket, isNew, bodySinceMs, isAnswering } = connection
  const isUnread = socket.writableLength > 0
  const idleMsMax = isUnread ? LIMITS.responseStallMsMax : keepAliveMs + KEEP_ALIVE_MARGIN_MS
  const isIdleFor = (ms: number): boolean => nowMs - connection.heardAtMs >= ms
  if (isAnswering) return
  if (bodySinceMs !== undefined) {
    if (nowMs - bodySinceMs >= BODY_WAIT_MS) connection.demote()
  } else if (isNew) {
    if (isIdleFor(LIMITS.headersTimeoutMs)) refuseLate(connection)
  } else if (isUnread || isIdleFor(idleMsMax)) {
    // The client may be reading an answer all the while.
    noteDelivery(connection, nowMs)
    if (!isIdleFor(idleMsMax)) return
    if (isUnread) socket.destroy()
    else connection.close()
  }
}

const reserveLookup = ({ bodyBytes }: FastPathHead): ReservedBody => ({
  bytes: Buffer.allocUnsafe(bodyBytes),
  release: () => {},
})

const createServe = (
  context: HttpContext,
  report: (error: unknown) => void,
): ((known: KnownHead, body: Buffer) => Served) => {
  const serveLookup = createServeLookup(context)
  const serveUpdate = createServeUpdate(context, report)
  return (known, body) => {
    // The service may have begun to shut down while the body arrived.
    if (!isAdmitted(known.head.facts, context)) return null
    try {
      return known.head.route === 'lookup'
        ? serveLookup(known.head, known.prepared, body)
        : serveUpdate(known.head, body)
    } catch (error) {
      report(error)
      return null
    }
  }
}
