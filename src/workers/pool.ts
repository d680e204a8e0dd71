import { randomUUID } from 'node:crypto'
import { BroadcastChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { type ErrorMessage, fromMessage, refuse } from '../core/errors.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { GatherTask, PoolJob } from './compute-worker.ts'

/**
 * The compute worker threads of one HTTP worker. The queue is bounded; no task is ever cancelled, since a
 * cancelled task ends its thread.
 */
export class ComputePool {
  readonly threadCount: number
  readonly #queueDepthMax: number
  readonly #pool: Piscina
  readonly #retired: BroadcastChannel

  constructor(threadCount: number, queueDepthMax: number) {
    this.threadCount = threadCount
    this.#queueDepthMax = queueDepthMax
    const retiredChannel = `gatherd-retired-${randomUUID()}`
    this.#retired = new BroadcastChannel(retiredChannel)
    this.#retired.unref()
    this.#pool = new Piscina({
      filename: new URL('./compute-worker.ts', import.meta.url).href,
      minThreads: threadCount,
      maxThreads: threadCount,
      maxQueue: queueDepthMax,
      // A thread asleep in Atomics.wait would not hear what is retired.
      atomics: 'async',
      workerData: { retiredChannel },
    })
  }

  get queueDepth(): number {
    return this.#pool.queueSize
  }

  /** Whether `taskCount` more tasks fit the queue. */
  hasRoom(taskCount: number): boolean {
    return this.#pool.queueSize + taskCount <= this.#queueDepthMax
  }

  /** Refuses OVERLOADED unless `taskCount` more tasks fit the queue. */
  admit(taskCount: number): void {
    if (!this.hasRoom(taskCount)) {
      refuse('OVERLOADED', `${this.#pool.queueSize} gather tasks are waiting already`, {
        headers: { 'Retry-After': '1' },
      })
    }
  }

  /** Runs a job on some thread. The caller pins the version until the promise resolves. */
  async run(reader: TableReader, arena: WebAssembly.Memory, job: PoolJob): Promise<void> {
    const { handle } = reader
    const task: GatherTask = { key: handle.key, job }
    let outcome = (await this.#pool.run(task)) as boolean | ErrorMessage
    if (outcome === false)
      outcome = (await this.#pool.run({ ...task, mapping: { handle, arena } } satisfies GatherTask)) as
        | boolean
        | ErrorMessage
    if (typeof outcome === 'object') throw fromMessage(outcome)
  }

  /** Lets every thread forget a version, so that its memory can be freed. */
  retire(key: string): void {
    this.#retired.postMessage(key)
  }

  async close(): Promise<void> {
    this.#retired.close()
    await this.#pool.destroy()
  }
}
