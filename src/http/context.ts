import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify'
import type { WriterClient } from '../writer/client.ts'
import type { LookupServices } from '../lookup/lookup.ts'
import type { Registry } from '../tables/registry.ts'
import type { Staging } from '../upload/staging/layout.ts'

/** The Fastify instance that routes are added to: schemas of TypeBox give the types of requests. */
export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>

/** What the service is able to do. Changed in place by whoever runs the HTTP worker, read at each request. */
export interface Health {
  state: 'loading' | 'ready' | 'degraded' | 'draining'
  /** For people: what is waited for, or what went wrong. */
  reason: string
}

/** Everything that routes need from outside. One per HTTP worker. */
export interface HttpContext {
  writer: WriterClient
  /** The tables that this HTTP worker serves: `writer.registry`. */
  registry: Registry
  lookups: LookupServices
  /** Uploads in parts. */
  staging: Staging
  health: Health
  logLevel: string
}
