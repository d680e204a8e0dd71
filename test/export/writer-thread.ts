import { type MessagePort, workerData } from 'node:worker_threads'
import { Writer } from '../../src/writer/writer.ts'

/** A writer in a thread of its own, so that it writes while another thread reads. */
const { port, dataDir } = workerData as { port: MessagePort; dataDir: string }
const writer = new Writer({ quotaBytes: 64 * 1024 * 1024 })
writer.connect(port)
await writer.load({ dataDir })
