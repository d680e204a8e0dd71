import { MessageChannel } from 'node:worker_threads'
import type { Dtype, Settings } from '../../src/core/types.ts'
import { WriterClient } from '../../src/writer/client.ts'
import { Writer, type WriterOptions } from '../../src/writer/writer.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { makeDataDir } from './data-dir.ts'

/** A writer with one HTTP worker in this thread, over a real message channel. */
export interface TestWriter {
  writer: Writer
  client: WriterClient
  /** One more HTTP worker. */
  connect(): WriterClient
  close(): Promise<void>
}

/** A writer that is loaded, over an empty directory unless `dataDir` names one that stays. */
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
  // After it every table that there is.
  await client.call('sync', null)
  return { writer, client, connect, close }
}

interface NewTable {
  name: string
  rows: number
  dim: number
  dtype?: Dtype
  settings?: Partial<Settings>
  /** Row-major float32; zeros without it. float32 tables only. */
  values?: ArrayLike<number>
}

/** Creates or replaces a table; float32 values are written as an upload would. */
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
      for (let i = 0; i < target.length; i++) target[i] = values[firstRow * dim + i]
    }
  }
  return client.call('commitBuild', { buildId })
}

/** The whole current table, as float32. float32 tables only. */
export const readTable = (client: WriterClient, name: string): number[][] => {
  const { handle } = client.registry.find(name).current
  return handle.segments.flatMap(({ memory, rowCount }) =>
    Array.from({ length: rowCount }, (_, row) =>
      Array.from(new Float32Array(memory.buffer, ROWS_AT + row * handle.dim * 4, handle.dim)),
    ),
  )
}
