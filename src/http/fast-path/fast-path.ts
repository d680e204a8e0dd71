import type { Socket } from 'node:net'
import { LIMITS } from '../../core/limits.ts'
import type { App, HttpContext } from '../context.ts'
import { FastPathConnection, type FastPathExits, type Served } from './connection.ts'
import type { ReservedBody } from './arriving-body.ts'
import { createHeadReader, type KnownHead } from './known-heads.ts'
import type { FastPathHead } from './read-head.ts'
import { createServeLookup } from './serve-lookup.ts'
import { createServeUpdate, reserveUpdate } from './serve-update.ts'

const SWEEP_MS = 250

/** A body that is still not there is waited for by Fastify, whose clock is the one that counts. */
const BODY_WAIT_MS = 500

/** As long as `node:http` waits beyond what it tells the client. */
const KEEP_ALIVE_MARGIN_MS = 1_000

/** Of all connections together: what is read is done with before the next read. Longer bodies are read straight to where they belong. */
const READ_BYTES = 32 * 1024

/**
 * Opens the fast path: new connections of `app` are read by it first. Plain lookups and updates, by far the most frequent requests of a busy service,
 * are answered without `node:http`, which is half of the cost of a small lookup and of a large body (docs/explanation/performance.md). At the first byte of
 * anything else the connection is Fastify's, untouched, and stays it. Answers, limits and timeouts are the same on both sides. To be
 * called before the app is ready.
 */
export const openFastPath = (app: App, context: HttpContext): void => {
  const { server } = app
  const connections = new Set<FastPathConnection>()
  let nowMs = performance.now()
  let isOpen = true
  const takeOver = server.listeners('connection') as ((this: typeof server, socket: Socket) => void)[]
  const exits: FastPathExits = {
    readHead: createHeadReader(),
    reserve: (head) => (head.route === 'lookup' ? reserveLookup(head) : reserveUpdate(context, head)),
    serve: createServe(context),
    readBuffer: Buffer.allocUnsafeSlow(READ_BYTES),
    nowMs: () => nowMs,
    forget: (connection) => connections.delete(connection),
    giveToFastify: (socket) => {
      for (const listener of takeOver) listener.call(server, socket)
    },
  }
  const sweep = (): void => {
    nowMs = performance.now()
    for (const connection of connections) closeOverdue(connection)
  }
  const closeOverdue = (connection: FastPathConnection): void => {
    const { socket, isNew, bodySinceMs, heardAtMs, isAnswering } = connection
    const silentMs = nowMs - heardAtMs
    if (isAnswering) return
    if (bodySinceMs !== undefined) {
      if (nowMs - bodySinceMs >= BODY_WAIT_MS) connection.demote()
    } else if (isNew) {
      if (silentMs >= LIMITS.headersTimeoutMs) refuseLate(connection)
    } else if (silentMs >= LIMITS.keepAliveTimeoutMs + KEEP_ALIVE_MARGIN_MS) socket.destroy()
  }
  const refuseLate = (connection: FastPathConnection): void => {
    connection.demote()
    server.emit(
      'clientError',
      Object.assign(new Error('nothing came'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
      connection.socket,
    )
  }
  const sweeper = setInterval(sweep, SWEEP_MS).unref()
  server.removeAllListeners('connection')
  server.on('connection', (socket: Socket) => {
    if (isOpen) connections.add(new FastPathConnection(socket, exits))
    else exits.giveToFastify(socket)
  })
  app.addHook('preClose', (done) => {
    isOpen = false
    clearInterval(sweeper)
    for (const connection of connections) {
      if (connection.isIdle) connection.close()
      else connection.demote()
    }
    done()
  })
}

const reserveLookup = ({ bodyBytes }: FastPathHead): ReservedBody => ({
  bytes: Buffer.allocUnsafe(bodyBytes),
  release: () => {},
})

const createServe = (context: HttpContext): ((known: KnownHead, body: Buffer) => Served) => {
  const serveLookup = createServeLookup(context)
  const serveUpdate = createServeUpdate(context)
  return (known, body) => {
    if (context.health.state !== 'ready') return null
    // Whatever goes wrong here goes wrong again in the route, which says so in the words of a route.
    try {
      return known.head.route === 'lookup'
        ? serveLookup(known.head, known.prepared, body)
        : serveUpdate(known.head, body)
    } catch {
      return null
    }
  }
}
