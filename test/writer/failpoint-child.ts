/**
 * A child process that performs the operations of life.ts on a writer until it reaches the failpoint named in
 * its arguments and is killed there. failpoints.test.ts starts it.
 */
import { MessageChannel } from 'node:worker_threads'
import { WriterClient } from '../../src/writer/client.ts'
import { setFailpoint } from '../../src/storage/failpoints.ts'
import { Writer } from '../../src/writer/writer.ts'
import { LIFE, perform } from './life.ts'

/*
 * The operations pass every failpoint of the writer. The arguments are the directory and the failpoint. Each
 * line of output is the number of an acknowledged operation, in the order of life.ts.
 */
const [directory, name] = process.argv.slice(2)
setFailpoint(name)
const writer = new Writer({
  quotaBytes: 64 * 1024 * 1024,
  onError: (error) => process.stderr.write(`${String(error)}\n`),
})
await writer.load({ dataDir: directory })
const { port1, port2 } = new MessageChannel()
writer.connect(port1)
const client = new WriterClient(port2)
await client.call('sync', null)
let next = 0
for (const group of LIFE) {
  const first = next
  next += group.length
  await Promise.all(
    group.map(async (operation, i) => {
      await perform(client, operation)
      process.stdout.write(`${first + i}\n`)
    }),
  )
  // Background work ends before the next operation, so that a failpoint always counts the same passes.
  await writer.storage.cleanup.whenIdle()
}
client.close()
await writer.close()
process.stdout.write('closed\n')
