/** Starts a whole service in the thread of the test. */
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { type HttpSettings, readConfig } from '../../src/config.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { buildApp } from '../../src/http/app.ts'
import { type App, createHttpContext, type HttpContext, type Health } from '../../src/http/context.ts'
import { WriterClient } from '../../src/writer/client.ts'
import { FormerTables } from '../../src/writer/lifecycle/former-tables.ts'
import { Writer } from '../../src/writer/writer.ts'
import { createLookupServices } from '../../src/lookup/lookup.ts'
import type { StagingLimits } from '../../src/upload/staging/layout.ts'
import { makeDataDir } from './data-dir.ts'

export interface ServiceOptions {
  quotaBytes?: number
  segmentBytesMax?: number
  logLevel?: string
  /** Turns the fast path on. It is off by default, and off when every answer is logged. */
  fastPath?: boolean
  /** Replaces settings of the configuration. */
  settings?: Partial<HttpSettings>
  /** A directory to keep. Without it an empty one is made, and removed at the end. */
  dataDir?: string
  /** Replaces limits of core/limits.ts. */
  stagingLimits?: Partial<StagingLimits>
}

/** A service in one thread: a writer, one HTTP worker on a real message channel, and no compute pool. */
export interface Service {
  app: App
  writer: Writer
  context: HttpContext
  /** The log lines so far, parsed. */
  log: Record<string, unknown>[]
  /** Errors of the writer that belong to no request. */
  writerErrors: unknown[]
  /** Listens on a free port and returns `http://127.0.0.1:port`. */
  listen: () => Promise<string>
  close: () => Promise<void>
}

/** Starts a service and waits until it is ready. The test must close it, or its process does not end. */
export const startService = async (options: ServiceOptions = {}): Promise<Service> => {
  const {
    quotaBytes = 256 * 1024 * 1024,
    segmentBytesMax,
    logLevel = 'debug',
    fastPath = false,
    settings,
  } = options
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
    settings: { ...readConfig({}), logLevel, fastPath, ...settings },
  })
  const log: Record<string, unknown>[] = []
  const app = await buildApp(context, {
    logStream: { write: (line) => log.push(JSON.parse(line)) },
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

/**
 * Deletes every table and alias, so that the tests of a file can share a service and each begin with an empty
 * one, in which versions begin at 1.
 */
export const removeTables = async ({
  app,
  context,
  writer,
}: Pick<Service, 'app' | 'context' | 'writer'>): Promise<void> => {
  const { registry } = context
  const urls = [
    ...registry.names().map((name) => `/v1/tables/${encodeURIComponent(name)}`),
    ...registry.aliases().map(({ alias }) => `/v1/aliases/${encodeURIComponent(alias)}`),
  ]
  for (const url of urls) await app.inject({ method: 'DELETE', url })
  writer.formerTables = new FormerTables()
}
