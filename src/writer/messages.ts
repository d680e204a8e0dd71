/** The messages that carry calls, answers and publications between HTTP workers and the writer. */
import type { ErrorMessage } from '../core/errors.ts'
import type { AliasRecord, TableHandle } from '../tables/handles.ts'
import type { WriterHealth, WriterProcedure } from './protocol.ts'

/** A call of a procedure. */
export interface WriterCall {
  callId: number
  procedure: WriterProcedure
  argument: unknown
}

/** The answer to a call, or the error it was refused with. */
export interface WriterAnswer {
  callId: number
  answer?: unknown
  error?: ErrorMessage
}

/** Messages of an HTTP worker to the writer. */
export type HttpWorkerMessage =
  | { kind: 'calls'; calls: WriterCall[] }
  | { kind: 'published'; publicationId: number }
  /**
   * The memory that holds the updates of this HTTP worker. It is sent once, so that an update message is a
   * few numbers.
   */
  | { kind: 'shown'; memory: WebAssembly.Memory }
  /** No lookup of this HTTP worker reads the version any more. */
  | { kind: 'released'; key: string }

/** Messages of the writer to an HTTP worker. */
export type WriterMessage =
  | { kind: 'answers'; answers: WriterAnswer[] }
  /** `record: null` says that the table is gone. */
  | { kind: 'publish'; publicationId: number; name: string; record: TableHandle | null }
  /** All aliases, which replace those published before. */
  | { kind: 'aliases'; publicationId: number; aliases: AliasRecord[] }
  | { kind: 'health'; health: WriterHealth }
