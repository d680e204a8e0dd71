import { join } from 'node:path'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Config } from '../config.ts'
import type { FrontCommand, FrontData, FrontEvent } from './worker.ts'
import type { Keeper } from '../writer/writer.ts'

/** So many fronts may die in so long a time; then it is not chance. */
const DEATHS_MAX = 5
const DEATHS_WITHIN_MS = 10_000

interface RunningFront {
  worker: Worker
  closed: Promise<void>
}

export interface FrontGroupEvents {
  /** A front has died and is being replaced. */
  onDeath: (error: unknown) => void
  /** They die again and again: the process should end. */
  onHopeless: (error: unknown) => void
}

/** The HTTP threads on one port. One that dies takes its own connections along and is replaced. */
export class FrontGroup {
  readonly #config: Config
  readonly #keeper: Keeper
  readonly #events: FrontGroupEvents
  readonly #running = new Set<RunningFront>()
  readonly #deathsAtMs: number[] = []
  #isClosing = false

  constructor(config: Config, keeper: Keeper, events: FrontGroupEvents) {
    this.#config = config
    this.#keeper = keeper
    this.#events = events
  }

  get size(): number {
    return this.#running.size
  }

  /** Starts all of them; returns the port, which the first one finds when any free one will do. Rejects when one cannot listen. */
  async start(): Promise<number> {
    const port = await this.#start(this.#config.port)
    await Promise.all(Array.from({ length: this.#config.frontCount - 1 }, () => this.#start(port)))
    return port
  }

  /** Readiness goes off; requests are still served. */
  drain(): void {
    this.#isClosing = true
    this.#tell({ kind: 'drain' })
  }

  /** Finishes what is under way. Resolves when every front has ended. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#tell({ kind: 'close' })
    await Promise.all([...this.#running].map(({ closed }) => closed))
  }

  #tell(command: FrontCommand): void {
    for (const { worker } of this.#running) worker.postMessage(command)
  }

  #start(port: number): Promise<number> {
    const { port1, port2 } = new MessageChannel()
    this.#keeper.connect(port1)
    const { host, dataDir, frontCount, gathererCount, logLevel, lane } = this.#config
    const data: FrontData = {
      keeperPort: port2,
      host,
      port,
      gathererCount: Math.ceil(gathererCount / frontCount),
      uploadsDir: join(dataDir, 'uploads'),
      logLevel,
      lane,
    }
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: data, transferList: [port2] })
    const front: RunningFront = { worker, closed: new Promise((done) => worker.once('exit', () => done())) }
    return new Promise((resolve, reject) => {
      let failure: unknown = new Error('a front has ended')
      let servedPort = port
      worker.on('error', (error) => {
        failure = error
        reject(error)
      })
      worker.on('message', (event: FrontEvent) => {
        if (event.kind !== 'listening') return
        servedPort = event.port
        this.#running.add(front)
        resolve(event.port)
      })
      worker.once('exit', () => {
        reject(failure)
        if (this.#running.delete(front) && !this.#isClosing) this.#replace(servedPort, failure)
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
