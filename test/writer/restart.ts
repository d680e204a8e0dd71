/** Opens, closes and crashes a writer over a directory that outlives it, and reads what it holds. */
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

/** A writer over a directory that outlives it, with the warnings, errors and progress that it reports. */
export interface OpenWriter {
  writer: Writer
  client: WriterClient
  dataDir: string
  warnings: string[]
  errors: unknown[]
  health: WriterHealth[]
  progress: LoadProgress[]
  connect: () => WriterClient
  /** Closes the writer as SIGTERM does. */
  close: () => Promise<void>
}

const cleanUps: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** Makes a directory for one test, which is removed after it. */
export const makeDirectory = (): string => {
  const { dataDir, remove } = makeDataDir()
  cleanUps.push(remove)
  return dataDir
}

/**
 * Opens a directory, which is closed after the test unless the test closes it. Rejects when the start is
 * refused.
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
 * Copies the directory as `kill -9` at this moment would leave it. Another process copies, because to open
 * and close a database file here would drop SQLite's lock.
 */
export const crash = (dataDir: string): string => {
  const copy = mkdtempSync(join(dirname(dataDir), 'gatherd-crash-'))
  cleanUps.push(() => rmSync(copy, { recursive: true, force: true }))
  execFileSync('cp', ['-R', `${dataDir}/.`, copy])
  return copy
}

/** Sends an update as an HTTP worker does. */
export const send = (
  { client }: Pick<OpenWriter, 'client'>,
  indices: number[],
  values: number[],
  changes: Partial<UpdateArguments> = {},
): Promise<UpdateResult> => client.call('update', update(indices, values, changes))

/** Returns an idempotency key that is bound to a request. */
export const keyOf = (key: string, request = 'body'): { key: UpdateArguments['key'] } => ({
  key: { key, request: new Uint8Array(32).fill(request.length).fill(request.charCodeAt(0), 1) },
})

/** Describes everything that a writer holds of a table as plain data, with the exact bytes of versions. */
export const describeTable = ({ writer }: Pick<OpenWriter, 'writer'>, name = 'user') => {
  const { id, settings, createdAt, changedAt, highest, stateEpoch, current, versions } = writer.find(name)
  const numbers = [...versions.keys()].sort((a, b) => a - b)
  return {
    ...{ id, name, settings, createdAt, changedAt, highest, stateEpoch, current: current.handle.version },
    versions: numbers.map((number) => readVersion(versions.get(number) ?? current)),
  }
}

/** Reads the float32 rows of the current version, or of `version`. */
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

/** Reads the first number of a row of a float32 table that has one segment. */
export const readNumber = ({ writer }: Pick<OpenWriter, 'writer'>, row: number, name = 'user'): number => {
  const { segments, dim } = writer.find(name).current.handle
  return new Float32Array(segments[0].memory.buffer, ROWS_AT, (row + 1) * dim)[row * dim]
}

/** Lists all files in the folder of snapshots. */
export const listFolder = (dataDir: string): string[] => readdirSync(join(dataDir, 'snapshots')).sort()

/**
 * Writes a snapshot of the current version and runs `work` before it is listed. The table must be so large
 * that the snapshot takes longer than `work`.
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

/** The rows of a one-column table whose snapshot takes long enough for {@link duringSnapshot}. */
export const MANY_ROWS = 2_000_000
