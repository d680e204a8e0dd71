/** The functions through which a fast-path connection uses the HTTP worker around it. */
import type { Socket } from 'node:net'
import type { ResponseBuffer } from '../../lookup/buffers.ts'
import type { ReservedBody } from './arriving-body.ts'
import type { KnownHead } from './known-heads.ts'
import type { FastPathHead } from './read-head.ts'

/**
 * An answer, or the promise of one. null: Fastify must answer, because the answer is more than a plain 200.
 */
export type Served = ResponseBuffer | Promise<ResponseBuffer | null> | null

/** The services of the HTTP worker that all fast-path connections share. */
export interface FastPathExits<Connection> {
  readHead(bytes: Buffer): KnownHead | undefined
  /** Whether a request with this head may be answered here now. */
  admits(head: FastPathHead): boolean
  /**
   * Reserves memory for a body that arrives in pieces or whose answer is asynchronous. null: none is left.
   */
  reserve(head: FastPathHead): ReservedBody | null
  /** Answers a request whose body lies in its reserved memory, if it has any. */
  serve(known: KnownHead, body: Buffer): Served
  /** Hands the socket to Fastify, as if it had just been accepted. */
  giveToFastify(socket: Socket): void
  /** Called when the connection has left the fast path. */
  forget(connection: Connection): void
  /** Returns `performance.now()` in milliseconds, as of the last sweep. */
  nowMs(): number
  /** The memory that every connection reads into; its bytes are valid until the next read. */
  readBuffer: Buffer
}
