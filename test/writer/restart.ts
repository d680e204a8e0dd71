import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { afterEach } from 'vitest'
import { assert } from '../../src/core/assert.ts'
import { KeeperClient } from '../../src/writer/client.ts'
import { Keeper, type KeeperOptions, type LoadOptions } from '../../src/writer/writer.ts'
import type { KeeperHealth, UpdateArguments, UpdateResult } from '../../src/writer/protocol.ts'
import type { LoadProgress } from '../../src/writer/recovery/recover.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { makeDataDir } from '../helpers/data-dir.ts'
import { readVersion, update } from './updates/group-commit-dependencies.ts'

/** A keeper over a directory that outlives it, and what it says on the way. */
export interface OpenedKeeper {
  keeper: Keeper
  client: KeeperClient
  dataDir: string
  warnings: string[]
  errors: unknown[]
  health: KeeperHealth[]
  progress: LoadProgress[]
  connect: () => KeeperClient
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

/** Opens a directory; it is closed after the test, if it was not before. Rejects when the start is refused. */
export const openKeeper = async (dataDir: string, options: Partial<KeeperOptions> & Partial<LoadOptions> = {}): Promise<OpenedKeeper> => {
  const warnings: string[] = []
  const errors: unknown[] = []
  const progress: LoadProgress[] = []
  const health: KeeperHealth[] = []
  const keeper = new Keeper({ quotaBytes: 256 * 1024 * 1024, onError: (error) => errors.push(error), ...options })
  await keeper.load({ dataDir, onWarning: (line) => warnings.push(line), onProgress: (one) => progress.push(one), ...options })
  const clients: KeeperClient[] = []
  const connect = (): KeeperClient => {
    const { port1, port2 } = new MessageChannel()
    keeper.connect(port1)
    const client = new KeeperClient(
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
    await keeper.close()
  }
  cleanUps.push(close)
  const client = connect()
  await client.call('sync', null)
  return { keeper, client, dataDir, warnings, errors, health, progress, connect, close }
}

/**
 * The directory as `kill -9` at this moment would leave it. Another process copies: opening and closing a database here would drop
 * SQLite's lock.
 */
export const crash = (dataDir: string): string => {
  const copy = mkdtempSync(join(dirname(dataDir), 'gatherd-crash-'))
  cleanUps.push(() => rmSync(copy, { recursive: true, force: true }))
  execFileSync('cp', ['-R', `${dataDir}/.`, copy])
  return copy
}

/** Sends an update through the line of a front. */
export const send = (
  { client }: Pick<OpenedKeeper, 'client'>,
  indices: number[],
  values: number[],
  changes: Partial<UpdateArguments> = {},
): Promise<UpdateResult> => client.call('update', update(indices, values, changes))

/** A key, and the request that it stands for. */
export const keyOf = (key: string, request = 'body'): { key: UpdateArguments['key'] } => ({
  key: { key, request: new Uint8Array(32).fill(request.length).fill(request.charCodeAt(0), 1) },
})

/** Everything that a keeper holds of a table, as plain data, versions to the bit. */
export const describeTable = ({ keeper }: Pick<OpenedKeeper, 'keeper'>, name = 'user') => {
  const { id, settings, createdAt, changedAt, highest, stateEpoch, current, versions } = keeper.find(name)
  const numbers = [...versions.keys()].sort((a, b) => a - b)
  return {
    ...{ id, name, settings, createdAt, changedAt, highest, stateEpoch, current: current.handle.version },
    versions: numbers.map((number) => readVersion(versions.get(number) ?? current)),
  }
}

/** Float32 rows of the current version, or of another. */
export const readRows = ({ keeper }: Pick<OpenedKeeper, 'keeper'>, name = 'user', version?: number): number[][] => {
  const table = keeper.find(name)
  const { rows } = readVersion(version === undefined ? table.current : (table.versions.get(version) ?? table.current))
  return rows.map((row) => Array.from(new Float32Array(Uint8Array.from(Buffer.from(row, 'hex')).buffer)))
}

/** The first number of a row, of a table of float32 in one segment. */
export const readNumber = ({ keeper }: Pick<OpenedKeeper, 'keeper'>, row: number, name = 'user'): number => {
  const { segments, dim } = keeper.find(name).current.handle
  return new Float32Array(segments[0].memory.buffer, ROWS_AT, (row + 1) * dim)[row * dim]
}

/** Snapshot files and others in the folder of snapshots. */
export const listFolder = (dataDir: string): string[] => readdirSync(join(dataDir, 'snapshots')).sort()

/** Writes a snapshot of the current version, and does `work` before it is listed: the table must be large enough for that. */
export const duringSnapshot = async ({ keeper }: OpenedKeeper, work: () => Promise<void>, name = 'user'): Promise<void> => {
  const table = keeper.find(name)
  const { stored } = table.current
  const taken = keeper.opened.snapshots.take(table, table.current)
  for (let i = 0; i < 10 && stored.journalHolders === 0; i++) await Promise.resolve()
  assert(stored.journalHolders > 0, 'the snapshot has begun')
  await work()
  assert(stored.journalHolders > 0, 'the snapshot still runs')
  await taken
}

/** Of a table of one column whose snapshot takes long enough for {@link duringSnapshot}. */
export const MANY_ROWS = 2_000_000
