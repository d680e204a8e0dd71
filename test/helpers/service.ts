import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { LIMITS } from '../../src/core/limits.ts'
import { buildApp } from '../../src/http/app.ts'
import { type App, createHttpContext, type HttpContext, type Health } from '../../src/http/context.ts'
import { WriterClient } from '../../src/writer/client.ts'
import { Writer } from '../../src/writer/writer.ts'
import { createLookupServices } from '../../src/lookup/lookup.ts'
import type { StagingLimits } from '../../src/upload/staging/layout.ts'
import { makeDataDir } from './data-dir.ts'

export interface ServiceOptions {
  quotaBytes?: number
  segmentBytesMax?: number
  logLevel?: string
  /** Whether raw lookups go by the fast path; it is off without it, and wherever every answer is logged. */
  fastPath?: boolean
  /** One that stays, in place of an empty one that is removed in the end. */
  dataDir?: string
  /** In place of those of core/limits.ts. */
  stagingLimits?: Partial<StagingLimits>
}

/** A whole service in one thread: a real writer behind a real line, one HTTP worker, no pool. */
export interface Service {
  app: App
  writer: Writer
  context: HttpContext
  /** Lines of the log so far, parsed. */
  log: Record<string, unknown>[]
  /** Errors that the writer could tell nobody about. */
  writerErrors: unknown[]
  /** Listens on a free port and returns `http://127.0.0.1:port`. */
  listen: () => Promise<string>
  close: () => Promise<void>
}

/** Starts a service that is ready. Close it, or the test never ends. */
export const startService = async (options: ServiceOptions = {}): Promise<Service> => {
  const { quotaBytes = 256 * 1024 * 1024, segmentBytesMax, logLevel = 'debug', fastPath = false } = options
  const writerErrors: unknown[] = []
  const own = options.dataDir === undefined ? makeDataDir() : null
  const dataDir = options.dataDir ?? own?.dataDir ?? ''
  const writer = new Writer({ quotaBytes, segmentBytesMax, onError: (error) => writerErrors.push(error) })
  await writer.load({ dataDir })
  const { port1, port2 } = new MessageChannel()
  writer.connect(port1)
  const health: Health = { state: 'loading', reason: 'loading' }
  const client = new WriterClient(
    port2,
    () => {},
    (now) => Object.assign(health, now),
  )
  await client.call('sync', null)
  const lookups = createLookupServices(null)
  client.show(lookups.arena.memory)
  const staging = { directory: join(dataDir, 'uploads'), limits: { ...LIMITS, ...options.stagingLimits } }
  const context = createHttpContext({
    writer: client,
    registry: client.registry,
    lookups,
    staging,
    health,
    logLevel,
  })
  const log: Record<string, unknown>[] = []
  const app = await buildApp(context, {
    logStream: { write: (line) => log.push(JSON.parse(line)) },
    fastPath,
  })
  return {
    app,
    writer,
    context,
    log,
    writerErrors,
    listen: () => app.listen({ host: '127.0.0.1', port: 0 }),
    close: async () => {
      await app.close()
      client.close()
      await writer.close()
      own?.remove()
    },
  }
}
