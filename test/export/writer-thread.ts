/** A worker thread that runs a writer, so that it writes while the test thread reads. */

import { type MessagePort, workerData } from 'node:worker_threads'
import { Writer } from '../../src/writer/writer.ts'

const { port, dataDir } = workerData as { port: MessagePort; dataDir: string }
const writer = new Writer({ quotaBytes: 64 * 1024 * 1024 })
writer.connect(port)
await writer.load({ dataDir })
