import { type MessagePort, workerData } from 'node:worker_threads'
import { Keeper } from '../../src/keeper/keeper.ts'

/** A keeper in a thread of its own, so that it writes while another thread reads. */
const { port } = workerData as { port: MessagePort }
new Keeper({ quotaBytes: 64 * 1024 * 1024 }).connect(port)
