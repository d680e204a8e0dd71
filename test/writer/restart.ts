import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterEach } from 'vitest'
import { assert } from '../../src/core/assert.ts'
import { WriterClient } from '../../src/writer/client.ts'
import { Writer, type WriterOptions, type LoadOptions } from '../../src/writer/writer.ts'
import type { WriterHealth, UpdateArguments, UpdateResult } from '../../src/writer/protocol.ts'
import type { LoadProgress } from '../../src/writer/recovery/recover.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { makeDataDir } from '../helpers/data-dir.ts'
import { readVersion, update } from './updates/group-commit-dependencies.ts'

/** A writer over a directory that outlives it, and what it says on the way. */
export interface OpenWriter {
  writer: Writer
  client: WriterClient
  dataDir: string
  warnings: string[]
  errors: unknown[]
  health: WriterHealth[]
  progress: LoadProgress[]
  connect: () => WriterClient
  /** As SIGTERM would. */
  close: () => Promise<void>
}

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** A directory of the test's own, removed after it. */
export const makeDirectory = (): string => {
  const { dataDir, remove } = makeDataDir()
  cleanUps.push(remove)
  return dataDir
}

/**
 * Opens a directory; it is closed after the test, if it was not before. Rejects when the start is refused.
 */
export const openWriter = async (
  dataDir: string,
  options: Partial<WriterOptions> & Partial<LoadOptions> = {},
): Promise<OpenWriter> => {
  const warnings: string[] = []
  const errors: unknown[] = []
  const progress: LoadProgress[] = []
  const health: WriterHealth[] = []
  const writer = new Writer({
    quotaBytes: 256 * 1024 * 1024,
    onError: (error) => errors.push(error),
    ...options,
  })
  await writer.load({
    dataDir,
    onWarning: (line) => warnings.push(line),
    onProgress: (one) => progress.push(one),
    ...options,
  })
  const clients: WriterClient[] = []
  const connect = (): WriterClient => {
    const { port1, port2 } = new MessageChannel()
    writer.connect(port1)
    const client = new WriterClient(
      port2,
      () => {},
      (now) => health.push(now),
    )
    clients.push(client)
    return client
  }
  let isClosed = false
  const close = async (): Promise<void> => {
    if (isClosed) return
    isClosed = true
    for (const client of clients) client.close()
    await writer.close()
  }
  cleanUps.push(close)
  const client = connect()
  await client.call('sync', null)
  return { writer, client, dataDir, warnings, errors, health, progress, connect, close }
}

/**
 * The directory as `kill -9` at this moment would leave it. Another process copies: opening and closing a
 * database here would drop SQLite's lock.
 */
export const crash = (dataDir: string): string => {
  const copy = mkdtempSync(join(dirname(dataDir), 'gatherd-crash-'))
  cleanUps.push(() => rmSync(copy, { recursive: true, force: true }))
  execFileSync('cp', ['-R', `${dataDir}/.`, copy])
  return copy
}

/** Sends an update through the line of an HTTP worker. */
export const send = (
  { client }: Pick<OpenWriter, 'client'>,
  indices: number[],
  values: number[],
  changes: Partial<UpdateArguments> = {},
): Promise<UpdateResult> => client.call('update', update(indices, values, changes))

/** A key, and the request that it stands for. */
export const keyOf = (key: string, request = 'body'): { key: UpdateArguments['key'] } => ({
  key: { key, request: new Uint8Array(32).fill(request.length).fill(request.charCodeAt(0), 1) },
})

/** Everything that a writer holds of a table, as plain data, versions to the bit. */
export const describeTable = ({ writer }: Pick<OpenWriter, 'writer'>, name = 'user') => {
  const { id, settings, createdAt, changedAt, highest, stateEpoch, current, versions } = writer.find(name)
  const numbers = [...versions.keys()].sort((a, b) => a - b)
  return {
    ...{ id, name, settings, createdAt, changedAt, highest, stateEpoch, current: current.handle.version },
    versions: numbers.map((number) => readVersion(versions.get(number) ?? current)),
  }
}

/** Float32 rows of the current version, or of another. */
export const readRows = (
  { writer }: Pick<OpenWriter, 'writer'>,
  name = 'user',
  version?: number,
): number[][] => {
  const table = writer.find(name)
  const { rows } = readVersion(
    version === undefined ? table.current : (table.versions.get(version) ?? table.current),
  )
  return rows.map((row) => Array.from(new Float32Array(Uint8Array.from(Buffer.from(row, 'hex')).buffer)))
}

/** The first number of a row, of a table of float32 in one segment. */
export const readNumber = ({ writer }: Pick<OpenWriter, 'writer'>, row: number, name = 'user'): number => {
  const { segments, dim } = writer.find(name).current.handle
  return new Float32Array(segments[0].memory.buffer, ROWS_AT, (row + 1) * dim)[row * dim]
}

/** Snapshot files and others in the folder of snapshots. */
export const listFolder = (dataDir: string): string[] => readdirSync(join(dataDir, 'snapshots')).sort()

/**
 * Writes a snapshot of the current version, and does `work` before it is listed: the table must be large
 * enough for that.
 */
export const duringSnapshot = async (
  { writer }: OpenWriter,
  work: () => Promise<void>,
  name = 'user',
): Promise<void> => {
  const table = writer.find(name)
  const { stored } = table.current
  const taken = writer.storage.snapshots.take(table, table.current)
  for (let i = 0; i < 10 && stored.journalPins === 0; i++) await Promise.resolve()
  assert(stored.journalPins > 0, 'the snapshot has begun')
  await work()
  assert(stored.journalPins > 0, 'the snapshot still runs')
  await taken
}

/** Of a table of one column whose snapshot takes long enough for {@link duringSnapshot}. */
export const MANY_ROWS = 2_000_000
