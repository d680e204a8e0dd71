/** Starts the HTTP worker threads and replaces those that die. */
import { join } from 'node:path'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Config } from '../config.ts'
import type { HttpWorkerCommand, HttpWorkerData, HttpWorkerEvent } from './worker.ts'
import { readDescriptorMax } from '../system/descriptors.ts'
import { planConnections } from './plan-connections.ts'
import type { Writer } from '../writer/writer.ts'

/** After this many deaths of HTTP workers within this time, restarting them does not help. */
const DEATHS_MAX = 5
const DEATHS_WITHIN_MS = 10_000

interface RunningHttpWorker {
  worker: Worker
  closed: Promise<void>
}

export interface HttpWorkersEvents {
  /** An HTTP worker died and is being replaced. */
  onDeath: (error: unknown) => void
  /** HTTP workers keep dying, so the process should end. */
  onHopeless: (error: unknown) => void
}

/** The HTTP worker threads, which share one port. One that dies loses its connections and is replaced. */
export class HttpWorkers {
  readonly #config: Config
  readonly #writer: Writer
  readonly #events: HttpWorkersEvents
  readonly #running = new Set<RunningHttpWorker>()
  readonly #deathsAtMs: number[] = []
  #isClosing = false

  constructor(config: Config, writer: Writer, events: HttpWorkersEvents) {
    this.#config = config
    this.#writer = writer
    this.#events = events
  }

  get size(): number {
    return this.#running.size
  }

  /**
   * Starts all HTTP workers and returns the port. The first one chooses it when any free port will do.
   * Rejects when one cannot listen.
   */
  async start(): Promise<number> {
    const port = await this.#start(this.#config.port)
    await Promise.all(Array.from({ length: this.#config.httpThreadCount - 1 }, () => this.#start(port)))
    return port
  }

  /** Turns readiness off. Requests are still served. */
  drain(): void {
    this.#isClosing = true
    this.#broadcast({ kind: 'drain' })
  }

  /** Counts the open connections. */
  async countConnections(): Promise<number> {
    const events = await this.#ask({ kind: 'count' }, 'counted')
    return events.reduce((sum, { connectionCount }) => sum + connectionCount, 0)
  }

  /**
   * Finishes the requests in progress, and from now on refuses those that still arrive. The port stays open.
   */
  async stop(): Promise<void> {
    await this.#ask({ kind: 'stop' }, 'stopped')
  }

  /** Finishes the requests in progress and resolves when every HTTP worker has ended. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#broadcast({ kind: 'close' })
    await Promise.all([...this.#running].map(({ closed }) => closed))
  }

  /** Sends a command to every HTTP worker, and resolves to their answers. One that ends gives none. */
  async #ask<Kind extends HttpWorkerEvent['kind']>(
    command: HttpWorkerCommand,
    kind: Kind,
  ): Promise<Extract<HttpWorkerEvent, { kind: Kind }>[]> {
    const answers = [...this.#running].map(async ({ worker, closed }) => {
      const answered = new Promise<Extract<HttpWorkerEvent, { kind: Kind }>>((resolve) => {
        const onMessage = (event: HttpWorkerEvent): void => {
          if (event.kind !== kind) return
          worker.off('message', onMessage)
          resolve(event as Extract<HttpWorkerEvent, { kind: Kind }>)
        }
        worker.on('message', onMessage)
      })
      worker.postMessage(command)
      return Promise.race([answered, closed.then(() => null)])
    })
    return (await Promise.all(answers)).filter((event) => event !== null)
  }

  #broadcast(command: HttpWorkerCommand): void {
    for (const { worker } of this.#running) worker.postMessage(command)
  }

  #start(port: number): Promise<number> {
    const { port1, port2 } = new MessageChannel()
    this.#writer.connect(port1)
    const { host, dataDir, httpThreadCount, computeThreadCount } = this.#config
    const data: HttpWorkerData = {
      writerPort: port2,
      host,
      port,
      computeThreadCount: Math.ceil(computeThreadCount / httpThreadCount),
      uploadsDir: join(dataDir, 'uploads'),
      connectionCountMax: planConnections(readDescriptorMax(), {
        http: httpThreadCount,
        compute: computeThreadCount,
      }),
      settings: this.#config,
    }
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: data,
      transferList: [port2],
    })
    const httpWorker: RunningHttpWorker = {
      worker,
      closed: new Promise((done) => worker.once('exit', () => done())),
    }
    return new Promise((resolve, reject) => {
      let failure: unknown = new Error('an HTTP worker has ended')
      let servedPort = port
      worker.on('error', (error) => {
        failure = error
        reject(error)
      })
      worker.on('message', (event: HttpWorkerEvent) => {
        if (event.kind !== 'listening') return
        servedPort = event.port
        this.#running.add(httpWorker)
        resolve(event.port)
      })
      worker.once('exit', () => {
        reject(failure)
        if (this.#running.delete(httpWorker) && !this.#isClosing) this.#replace(servedPort, failure)
      })
    })
  }

  #replace(port: number, error: unknown): void {
    const nowMs = performance.now()
    this.#deathsAtMs.push(nowMs)
    const recentCount = this.#deathsAtMs.filter((atMs) => nowMs - atMs < DEATHS_WITHIN_MS).length
    if (recentCount >= DEATHS_MAX) {
      this.#events.onHopeless(error)
      return
    }
    this.#events.onDeath(error)
    this.#start(port).catch((reason: unknown) => this.#events.onHopeless(reason))
  }
}
