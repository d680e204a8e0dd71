/** The context of an HTTP worker: everything that its routes need. */
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { RawReplyDefaultExpression, RawRequestDefaultExpression, RawServerDefault } from 'fastify'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { HttpSettings } from '../config.ts'
import type { KeepSingles } from '../formats/json-nest.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import type { Registry } from '../tables/registry.ts'
import { createValueMemory } from '../update/decode.ts'
import type { HeaderMemory } from '../upload/read-header.ts'
import type { Staging } from '../upload/staging/layout.ts'
import type { WriterClient } from '../writer/client.ts'
import { StallWatch } from './body/stall-watch.ts'
import { Connections } from './connection/connections.ts'

/** The Fastify instance that routes are added to. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/**
 * Whether the service can serve requests. The owner of the HTTP worker changes it in place; requests read it.
 */
export interface Health {
  state: 'loading' | 'ready' | 'degraded' | 'draining' | 'stopping'
  /** The cause of the state, for people. */
  reason: string
}

/** The parts of the context that the owner of an HTTP worker gives it. */
export interface HttpDependencies {
  writer: WriterClient
  /** The tables that this HTTP worker serves: `writer.registry`. */
  registry: Registry
  lookups: LookupServices
  /** Uploads in parts. */
  staging: Staging
  health: Health
  settings: HttpSettings
}

/** Everything that routes need from outside, and the state that requests of one HTTP worker share. */
export interface HttpContext extends HttpDependencies {
  /** Ends requests whose bodies do not arrive, and answers that the client does not read. */
  stalls: StallWatch
  connections: Connections
  /** Memory for the values of a JSON update, overwritten by the next one. */
  keepUpdateValues: KeepSingles
  /** Counts the memory of the headers of uploads. */
  headers: HeaderMemory
}

/** The context of one HTTP worker. */
export const createHttpContext = (dependencies: HttpDependencies): HttpContext => ({
  ...dependencies,
  stalls: new StallWatch(),
  connections: new Connections(),
  keepUpdateValues: createValueMemory(),
  headers: { bytes: 0 },
})
