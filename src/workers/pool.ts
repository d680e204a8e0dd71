/** The pool of compute worker threads that one HTTP worker owns. */
import { randomUUID } from 'node:crypto'
import { BroadcastChannel } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { type ErrorMessage, fromMessage, refuse } from '../core/errors.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { GatherTask, PoolJob } from './compute-worker.ts'

/**
 * The compute worker threads of one HTTP worker. The queue is bounded. No task is ever cancelled, because
 * Piscina ends the thread of a cancelled task.
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
      // A thread that blocks in Atomics.wait would not receive the messages about retired versions.
      atomics: 'async',
      workerData: { retiredChannel },
    })
  }

  get queueDepth(): number {
    return this.#pool.queueSize
  }

  /** True if the queue has space for `taskCount` more tasks. */
  hasRoom(taskCount: number): boolean {
    return this.#pool.queueSize + taskCount <= this.#queueDepthMax
  }

  /** Refuses OVERLOADED unless the queue has space for `taskCount` more tasks. */
  admit(taskCount: number): void {
    if (!this.hasRoom(taskCount)) {
      refuse('OVERLOADED', `the compute queue is full: ${this.#pool.queueSize} tasks are waiting`, {
        headers: { 'Retry-After': '1' },
      })
    }
  }

  /** Runs a job on any thread of the pool. The caller keeps the version pinned until the promise settles. */
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

  /** Tells every thread to drop its mapping of a version, so that the memory can be freed. */
  retire(key: string): void {
    this.#retired.postMessage(key)
  }

  async close(): Promise<void> {
    this.#retired.close()
    await this.#pool.destroy()
  }
}
