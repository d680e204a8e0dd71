/** What the service notes on a connection, for as long as it lasts. */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { StallWatch } from '../body/stall-watch.ts'

export interface SocketNotes {
  /** Whether the service has ended the connection, so that nothing that still arrives is a request. */
  isClosing: boolean
  /** The latest request. Answers keep the order of requests, so its answer also ends last. */
  latest: { response: ServerResponse; isSafe: boolean } | null
  /** Watches the end of the connection. */
  stalls: StallWatch
}

const NOTES = Symbol('notes of the service')

/** Returns the notes on a connection. The first call may name the watch that it shares with others. */
export const notesOf = (socket: Socket & { [NOTES]?: SocketNotes }, stalls?: StallWatch): SocketNotes =>
  (socket[NOTES] ??= { isClosing: false, latest: null, stalls: stalls ?? new StallWatch() })
