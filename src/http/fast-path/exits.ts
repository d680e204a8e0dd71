import type { Socket } from 'node:net'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import type { ReservedBody } from './arriving-body.ts'
import type { KnownHead } from './known-heads.ts'
import type { FastPathHead } from './read-head.ts'

/** An answer, now or later. null: Fastify is to answer, because the answer is more than a plain 200. */
export type Served = ResponseBuffer | Promise<ResponseBuffer | null> | null

/** The services of the fast path that its connections share. */
export interface FastPathExits<Connection> {
  readHead(bytes: Buffer): KnownHead | undefined
  /** Whether a request with this head may be answered here now. */
  admits(head: FastPathHead): boolean
  /** Memory for a body that arrives in pieces, or whose answer takes time. null: there is none left. */
  reserve(head: FastPathHead): ReservedBody | null
  /** Answers a request whose body lies in its reserved memory, if it has any. */
  serve(known: KnownHead, body: Buffer): Served
  /** Makes the socket Fastify's, as if it had just been accepted. */
  giveToFastify(socket: Socket): void
  /** The connection has left the fast path. */
  forget(connection: Connection): void
  /** Milliseconds of `performance.now()`, a sweep old at most. */
  nowMs(): number
  /** The memory that every connection reads into; its bytes are valid until the next read. */
  readBuffer: Buffer
}
