import { parentPort, type MessagePort, workerData } from 'node:worker_threads'
import type { FastifyListenOptions } from 'fastify'
import { assert } from '../core/assert.ts'
import { LIMITS } from '../core/limits.ts'
import { KeeperClient } from '../writer/client.ts'
import { GathererPool } from '../workers/pool.ts'
import { createLookupServices } from '../lookup/services.ts'
import { shortenSlices } from '../system/time-slice.ts'
import { keepSweeping } from '../upload/staging/sweep.ts'
import { buildApp } from './app.ts'
import type { FrontContext, Health } from './context.ts'

/** What a front is started with. */
export interface FrontData {
  keeperPort: MessagePort
  host: string
  port: number
  gathererCount: number
  /** Uploads in parts are staged here. */
  uploadsDir: string
  logLevel: string
  /** Whether lookups of raw ids go by the lane. */
  lane: boolean
}

/** Main thread to front. */
export type FrontCommand = { kind: 'drain' } | { kind: 'close' }

/** Front to main thread. */
export type FrontEvent = { kind: 'listening'; port: number } | { kind: 'closed' }

/** Entry of a front thread: a whole HTTP server on the common port. */
const runFront = async (data: FrontData): Promise<void> => {
  // Before the gatherers start: they work for lookups too.
  shortenSlices()
  const pool = data.gathererCount === 0 ? null : new GathererPool(data.gathererCount, LIMITS.gatherQueueDepthMax * data.gathererCount)
  const health: Health = { state: 'loading', reason: 'tables are being loaded' }
  const keeper = new KeeperClient(
    data.keeperPort,
    (key) => pool?.retire(key),
    (now) => {
      if (health.state !== 'draining') Object.assign(health, now)
    },
  )
  const lookups = createLookupServices(pool)
  keeper.show(lookups.arena.memory)
  const context: FrontContext = {
    keeper,
    registry: keeper.registry,
    lookups,
    staging: { directory: data.uploadsDir, limits: LIMITS },
    health,
    logLevel: data.logLevel,
  }
  const app = await buildApp(context, { lane: data.lane })
  assert(parentPort !== null, 'a front is a worker thread')
  const parent = parentPort
  const send = (event: FrontEvent) => parent.postMessage(event)
  parent.on('message', async (command: FrontCommand) => {
    if (command.kind === 'drain') Object.assign(context.health, { state: 'draining', reason: 'the service is shutting down' })
    else {
      await app.close()
      await pool?.close()
      keeper.close()
      send({ kind: 'closed' })
      parent.close()
    }
  })
  keepSweeping(context.staging, (error) => app.log.warn({ err: error }, 'abandoned uploads could not be removed'))
  // Fastify hands these to Node as they are; its types do not know reusePort.
  const where: FastifyListenOptions & { reusePort: boolean } = { host: data.host, port: data.port, reusePort: true, backlog: 1024 }
  // Fastify's line about it would come before the service is whole; the main thread says when it is.
  app.log.level = 'silent'
  await app.listen(where)
  app.log.level = data.logLevel
  const address = app.server.address()
  assert(address !== null && typeof address === 'object', 'a listening server has an address')
  send({ kind: 'listening', port: address.port })
}

await runFront(workerData as FrontData)
