/** The entry point of an HTTP worker thread: a whole HTTP server on the port that all HTTP workers share. */
import { parentPort, type MessagePort, workerData } from 'node:worker_threads'
import type { FastifyListenOptions } from 'fastify'
import type { HttpSettings } from '../config.ts'
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { WriterClient } from '../writer/client.ts'
import { ComputePool } from '../workers/pool.ts'
import { createLookupServices } from '../lookup/lookup.ts'
import { requestShortTimeSlices } from '../system/time-slice.ts'
import { keepSweeping } from '../upload/staging/sweep.ts'
import { buildApp } from './app.ts'
import { createHttpContext, type Health } from './context.ts'

/** The data that an HTTP worker is started with. */
export interface HttpWorkerData {
  writerPort: MessagePort
  host: string
  port: number
  computeThreadCount: number
  /** The directory in which uploads in parts are staged. */
  uploadsDir: string
  /** The most connections, so that descriptors are left for files. */
  connectionCountMax: number
  settings: HttpSettings
}

/** Messages from the main thread to an HTTP worker. */
export type HttpWorkerCommand =
  | { kind: 'drain' }
  /** Counts the open connections. */
  | { kind: 'count' }
  /** Refuses requests, and finishes those in progress. */
  | { kind: 'stop' }
  | { kind: 'close' }

/** Messages from an HTTP worker to the main thread. */
export type HttpWorkerEvent =
  | { kind: 'listening'; port: number }
  | { kind: 'counted'; connectionCount: number }
  | { kind: 'stopped' }
  | { kind: 'closed' }

/** At the end, connections get this long to end by themselves. */
const CLOSE_MS = 500

/** Runs an HTTP worker until the main thread closes it. */
const runHttpWorker = async (data: HttpWorkerData): Promise<void> => {
  // This comes before the compute workers start, because they inherit the time slice.
  requestShortTimeSlices()
  const pool =
    data.computeThreadCount === 0
      ? null
      : new ComputePool(data.computeThreadCount, LIMITS.computeQueueDepthMax * data.computeThreadCount)
  const health: Health = { state: 'loading', reason: 'tables are being loaded' }
  const writer = new WriterClient(
    data.writerPort,
    (key) => pool?.retire(key),
    (now) => {
      if (health.state !== 'draining' && health.state !== 'stopping') Object.assign(health, now)
    },
  )
  const lookups = createLookupServices(pool)
  writer.show(lookups.arena.memory)
  const context = createHttpContext({
    writer,
    registry: writer.registry,
    lookups,
    staging: { directory: data.uploadsDir, limits: LIMITS, upMs: () => performance.now() },
    health,
    settings: data.settings,
  })
  const app = await buildApp(context)
  app.server.maxConnections = data.connectionCountMax
  assert(parentPort !== null, 'an HTTP worker is a worker thread')
  const parent = parentPort
  const send = (event: HttpWorkerEvent) => parent.postMessage(event)
  parent.on('message', async ({ kind }: HttpWorkerCommand) => {
    const reason = 'the service is shutting down'
    if (kind === 'drain') Object.assign(context.health, { state: 'draining', reason })
    else if (kind === 'count')
      app.server.getConnections((_error, count) => send({ kind: 'counted', connectionCount: count ?? 0 }))
    else if (kind === 'stop') {
      // The port stays open, so that new connections are answered and not reset.
      Object.assign(context.health, { state: 'stopping', reason })
      await context.connections.endAll()
      send({ kind: 'stopped' })
    } else {
      // Every request has been answered; whoever still holds a connection then holds it for nothing.
      setTimeout(() => app.server.closeAllConnections(), CLOSE_MS).unref()
      await app.close()
      await pool?.close()
      writer.close()
      send({ kind: 'closed' })
      parent.close()
    }
  })
  keepSweeping(context.staging, (error) =>
    app.log.warn({ err: error }, 'abandoned uploads could not be removed'),
  )
  // Fastify hands these options to Node unchanged; its types lack reusePort.
  const listenOptions: FastifyListenOptions & { reusePort: boolean } = {
    host: data.host,
    port: data.port,
    reusePort: true,
    backlog: 1024,
  }
  // The main thread logs when all HTTP workers listen; Fastify's own line would come before that.
  app.log.level = 'silent'
  await app.listen(listenOptions)
  app.log.level = data.settings.logLevel
  const address = app.server.address()
  assert(address !== null && typeof address === 'object', 'a listening server has an address')
  send({ kind: 'listening', port: address.port })
}

await runHttpWorker(workerData as HttpWorkerData)
