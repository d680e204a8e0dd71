/** Starts a writer and its clients in the thread of the test. */
import { MessageChannel } from 'node:worker_threads'
import type { Dtype, Settings } from '../../src/core/types.ts'
import { WriterClient } from '../../src/writer/client.ts'
import { Writer, type WriterOptions } from '../../src/writer/writer.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { makeDataDir } from './data-dir.ts'

/** A writer and the client of one HTTP worker in this thread, on a real message channel. */
export interface TestWriter {
  writer: Writer
  client: WriterClient
  /** Connects the client of one more HTTP worker. */
  connect(): WriterClient
  close(): Promise<void>
}

/** Loads a writer on an empty directory, or on `dataDir`, which is kept. */
export const startTestWriter = async ({
  dataDir,
  ...options
}: Partial<WriterOptions> & { dataDir?: string } = {}): Promise<TestWriter> => {
  const writer = new Writer({ quotaBytes: 256 * 1024 * 1024, ...options })
  const own = dataDir === undefined ? makeDataDir() : null
  await writer.load({ dataDir: dataDir ?? own?.dataDir ?? '' })
  const clients: WriterClient[] = []
  const connect = () => {
    const { port1, port2 } = new MessageChannel()
    writer.connect(port1)
    const client = new WriterClient(port2)
    clients.push(client)
    return client
  }
  const close = async () => {
    for (const client of clients) client.close()
    await writer.close()
    own?.remove()
  }
  const client = connect()
  // After the answer the client has every table.
  await client.call('sync', null)
  return { writer, client, connect, close }
}

interface NewTable {
  name: string
  rows: number
  dim: number
  dtype?: Dtype
  settings?: Partial<Settings>
  /** The values of a float32 table in row-major order; zeros by default. */
  values?: ArrayLike<number>
}

/** Creates or replaces a table, and writes float32 values as an upload does. */
export const putTable = async (
  client: WriterClient,
  table: NewTable,
): Promise<{ created: boolean; version: number }> => {
  const { name, rows, dim, dtype = 'float32', settings = {}, values } = table
  const { buildId, segments } = await client.call('beginBuild', {
    name,
    rows,
    dim,
    dtype,
    settings,
    precondition: {},
  })
  if (values !== undefined) {
    for (const { memory, firstRow, rowCount } of segments) {
      const target = new Float32Array(memory.buffer, ROWS_AT, rowCount * dim)
      const [first, end] = [firstRow * dim, (firstRow + rowCount) * dim]
      if (values instanceof Float32Array) target.set(values.subarray(first, end))
      else for (let i = first; i < end; i++) target[i - first] = values[i]
    }
  }
  return client.call('commitBuild', { buildId })
}

/** Reads all rows of the current version of a float32 table. */
export const readTable = (client: WriterClient, name: string): number[][] => {
  const { handle } = client.registry.find(name).current
  return handle.segments.flatMap(({ memory, rowCount }) =>
    Array.from({ length: rowCount }, (_, row) =>
      Array.from(new Float32Array(memory.buffer, ROWS_AT + row * handle.dim * 4, handle.dim)),
    ),
  )
}
