/** The part of autocannon 9 that the load run uses; the package ships no types. */
declare module 'autocannon' {
  import type { EventEmitter } from 'node:events'

  export interface Client {
    /** The bytes of the next request, head and body. */
    getRequestBuffer(): Buffer
    /** Answers that are not yet complete. `addBody` is given every piece of a body. */
    pipelinedRequests: { addBody(piece: Buffer): void }
    /** Reads the bytes of the connection. */
    parser: { execute(piece: Buffer): void }
    on(event: 'response', listener: (status: number, wireBytes: number, latencyMs: number) => void): this
  }

  export interface Options {
    url: string
    connections: number
    duration: number
    /** How often autocannon looks whether it should stop, in milliseconds. */
    sampleInt: number
    timeout: number
    setupClient(client: Client): void
  }

  export interface Tracker extends EventEmitter {
    stop(): void
  }

  export default function autocannon(options: Options, done: (error: Error | null) => void): Tracker
}
