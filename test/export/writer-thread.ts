import { type MessagePort, workerData } from 'node:worker_threads'
import { Keeper } from '../../src/writer/writer.ts'

/** A keeper in a thread of its own, so that it writes while another thread reads. */
const { port, dataDir } = workerData as { port: MessagePort; dataDir: string }
const keeper = new Keeper({ quotaBytes: 64 * 1024 * 1024 })
keeper.connect(port)
await keeper.load({ dataDir })
