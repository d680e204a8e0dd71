import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { GatherdError } from '../../../src/core/errors.ts'
import { openStore } from '../../../src/storage/open-store.ts'
import { describeFailure, StoreHealth, toRefusal } from '../../../src/writer/upkeep/health.ts'
import { StoreFailed } from '../../../src/storage/refusals.ts'
import { putTable } from '../../helpers/writer.ts'
import { FaultySqlite } from '../../storage/samples.ts'
import * as restart from '../restart.ts'

const { crash, describeTable, listFolder, makeDirectory, openWriter, readRows, send } = restart

const FULL = 13
const WAIT = { timeout: 10_000 }
const FSYNC = 1034

/** Starts a writer with a table over a disk that can be made to fail. */
const start = async (settings = {}, dataDir = makeDirectory()) => {
  const sqlite = new FaultySqlite()
  const opened = await openWriter(dataDir, { store: { open: sqlite.open } })
  await putTable(opened.client, { name: 'user', rows: 2, dim: 1, settings })
  const fail = (errcode: number | null) => {
    sqlite.fault = errcode === null ? null : { sql: 'COMMIT', errcode }
  }
  const states = () => opened.health.map(({ state }) => state)
  return { opened, fail, states, sqlite }
}
const beginAdapter = ({ client }: restart.OpenWriter, version = 1) =>
  client.call('beginAdapter', { name: 'user', version, rank: 1, dtype: 'float32', precondition: {} })

const { rename } = fs
/** Makes all renames but the first `goodCount` fail with `code`. */
const failRenames = (code: string | null, goodCount = 0): void => {
  let count = 0
  fs.rename =
    code === null
      ? rename
      : (...paths) =>
          count++ < goodCount ? rename(...paths) : Promise.reject(Object.assign(new Error(code), { code }))
  syncBuiltinESMExports()
}
afterEach(() => failRenames(null))

describe('A full disk', () => {
  test.each(['disk', 'os'] as const)(
    'makes updates of mode %s fail, is reported, and ends with the first update that succeeds',
    async (durability) => {
      const { opened, fail, states } = await start({ durability })
      await send(opened, [0], [1])
      fail(FULL)
      await expect(send(opened, [0], [2])).rejects.toMatchObject({ code: 'DISK_FULL' })
      expect(readRows(opened)).toEqual([[1], [0]])
      const full = {
        state: 'degraded',
        reason: 'the disk is full: updates are refused until there is space, lookups go on',
      }
      await expect.poll(() => opened.health, WAIT).toContainEqual(full)
      fail(null)
      expect(await send(opened, [0], [3])).toMatchObject({ sequence: 2 })
      await expect.poll(states, WAIT).toEqual(['ready', 'degraded', 'ready'])
      expect(readRows(await openWriter(crash(opened.dataDir)))).toEqual([[3], [0]])
    },
  )

  test('ends by itself when there is space again', async () => {
    const { opened, fail, states } = await start()
    fail(FULL)
    await expect(send(opened, [0], [2])).rejects.toMatchObject({ code: 'DISK_FULL' })
    await expect.poll(states, WAIT).toEqual(['ready', 'degraded', 'ready'])
  })

  test('makes every kind of change fail with DISK_FULL and leave nothing, and updates continue afterwards', async () => {
    const { opened, fail } = await start()
    await putTable(opened.client, { name: 'user', rows: 2, dim: 1 })
    await send(opened, [0], [1])
    const before = describeTable(opened)
    const { memory } = opened.writer
    const reservedBytes = memory.reservedBytes
    const files = listFolder(opened.dataDir)
    const { adapterId } = await beginAdapter(opened, 2)
    fail(FULL)
    const { client } = opened
    const precondition = {}
    const changes = [
      () => putTable(client, { name: 'user', rows: 2, dim: 1 }),
      () => putTable(client, { name: 'new', rows: 2, dim: 1 }),
      () => client.call('patch', { name: 'user', settings: { keep_versions: 1 }, precondition }),
      () => client.call('rollback', { name: 'user', version: 1, precondition }),
      () => client.call('remove', { name: 'user', precondition }),
      () => client.call('putAlias', { alias: 'a', table: 'user', version: null }),
      () => client.call('commitAdapter', { adapterId, alpha: 1 }),
      () => client.call('snapshot', null),
    ]
    for (const change of changes) await expect(change()).rejects.toMatchObject({ code: 'DISK_FULL' })
    fail(null)
    await opened.writer.storage.cleanup.whenIdle()
    expect(describeTable(opened)).toEqual(before)
    expect([memory.reservedBytes, listFolder(opened.dataDir), opened.writer.aliases.size]).toEqual([
      reservedBytes,
      files,
      0,
    ])
    expect(await send(opened, [0], [2])).toMatchObject({ sequence: 2 })
    expect(await client.call('snapshot', null)).toMatchObject({ snapshots: [{ sequence: 2 }] })
    expect(opened.writer.storage.store.failure).toBeNull()
  })

  test.each([
    ['ENOSPC', 'DISK_FULL'],
    ['EIO', 'NOT_READY'],
  ])(
    'or a broken one (%s) makes changes that need a file fail with %s, and leaves no part of them',
    async (code, expected) => {
      for (const attempt of ['upload', 'adapter', 'snapshot'] as const) {
        const { opened } = await start()
        await send(opened, [0], [1])
        const before = describeTable(opened)
        const files = listFolder(opened.dataDir)
        const { memory, storage } = opened.writer
        const reservedBytes = memory.reservedBytes
        const attempts = {
          upload: () => putTable(opened.client, { name: 'user', rows: 2, dim: 1 }),
          adapter: async () =>
            opened.client.call('commitAdapter', {
              adapterId: (await beginAdapter(opened)).adapterId,
              alpha: 1,
            }),
          snapshot: () => opened.client.call('snapshot', null),
        }
        // The second file of the adapter fails.
        failRenames(code, attempt === 'adapter' ? 1 : 0)
        await expect(attempts[attempt]()).rejects.toMatchObject({ code: expected })
        failRenames(null)
        await storage.cleanup.whenIdle()
        expect([describeTable(opened), listFolder(opened.dataDir), memory.reservedBytes]).toEqual([
          before,
          files,
          reservedBytes,
        ])
        await expect.poll(() => opened.health.map(({ state }) => state), WAIT).toContain('degraded')
        expect(storage.store.failure === null).toBe(code === 'ENOSPC')
        expect(opened.errors).toEqual([])
        await opened.close()
      }
    },
  )
})

describe('A failed write or sync', () => {
  test.each(['disk', 'os', 'none'] as const)(
    'stops updates of every mode until a restart while lookups continue (%s)',
    async (durability) => {
      const { opened, fail, states } = await start({ durability })
      await putTable(opened.client, { name: 'disk', rows: 1, dim: 1 })
      await send(opened, [0], [1])
      fail(FSYNC)
      await expect(send(opened, [0], [1], { name: 'disk' })).rejects.toMatchObject({ code: 'NOT_READY' })
      fail(null)
      for (const name of ['user', 'disk']) {
        await expect(send(opened, [0], [2], { name })).rejects.toMatchObject({
          code: 'NOT_READY',
          message: expect.stringContaining('(1034)'),
        })
      }
      await expect(opened.client.call('snapshot', null)).rejects.toMatchObject({ code: 'NOT_READY' })
      expect(opened.health.at(-1)).toEqual({
        state: 'degraded',
        reason: expect.stringMatching(/until a restart, lookups go on$/),
      })
      expect([states(), readRows(opened)]).toEqual([
        ['ready', 'degraded'],
        [[1], [0]],
      ])
      await opened.close()
      const again = await openWriter(opened.dataDir)
      expect(readRows(again)).toEqual([[durability === 'none' ? 0 : 1], [0]])
      expect(await send(again, [1], [5])).toMatchObject({ replayed: false })
    },
  )

  test('of an upload leaves its file, because the catalog may already list it', async () => {
    const { opened, fail } = await start()
    const [upload] = listFolder(opened.dataDir)
    fail(FSYNC)
    await expect(putTable(opened.client, { name: 'user', rows: 2, dim: 1 })).rejects.toMatchObject({
      code: 'NOT_READY',
    })
    await opened.writer.storage.cleanup.whenIdle()
    expect(listFolder(opened.dataDir)).toHaveLength(2)
    // The catalog does not list this file, so the next start removes it.
    await opened.close()
    const again = await openWriter(opened.dataDir)
    expect(listFolder(again.dataDir)).toEqual([upload])
  })

  test('of an upload or adapter leaves a directory that opens, even if the write reached the disk', async () => {
    for (const what of ['upload', 'adapter']) {
      const { opened, sqlite } = await start()
      const { adapterId } = await beginAdapter(opened)
      sqlite.fault = { sql: 'COMMIT', errcode: FSYNC, comesAfter: true }
      const attempt =
        what === 'upload'
          ? putTable(opened.client, { name: 'user', rows: 1, dim: 1, values: [5] })
          : opened.client.call('commitAdapter', { adapterId, alpha: 1 })
      await expect(attempt).rejects.toMatchObject({ code: 'NOT_READY' })
      sqlite.fault = null
      await opened.writer.storage.cleanup.whenIdle()
      await opened.close()
      const again = await openWriter(opened.dataDir)
      expect(again.writer.find('user').current.handle.version).toBe(what === 'upload' ? 2 : 1)
      expect(again.writer.find('user').current.adapter === null).toBe(what === 'upload')
    }
  })

  test('is reported without paths', () => {
    const cause = Object.assign(new Error('open /secret/catalog.db'), { code: 'EIO' })
    const told = describeFailure(new StoreFailed('/secret/catalog.db failed', { cause }))
    expect(told).toBe(
      'the data directory could not be written: EIO; updates are refused until a restart, lookups go on',
    )
    expect(describeFailure(new StoreFailed('failed'))).toContain('an error of the system')
  })
})

describe('An open store', () => {
  test('is ready at once after a commit, and stays degraded after a failure', () => {
    const { store } = openStore(makeDirectory())
    const told: string[] = []
    const health = new StoreHealth(
      store,
      ({ state }) => told.push(state),
      () => {},
    )
    health.note(new GatherdError('TABLE_NOT_FOUND', 'nothing of ours'))
    expect(told).toEqual([])
    health.note(new GatherdError('DISK_FULL', 'full'))
    health.note(new GatherdError('DISK_FULL', 'full'))
    expect(told).toEqual(['degraded'])
    health.note(null)
    expect(told).toEqual(['degraded', 'ready'])
    store.classify('a test', Object.assign(new Error('broken'), { code: 'EIO' }))
    for (const error of [store.failure, null, null]) health.note(error)
    expect(told).toEqual(['degraded', 'ready', 'degraded'])
    void health.close()
    store.close()
  })

  test('is synced each second, so that a power cut loses at most a second of mode os', async () => {
    const { opened } = await start({ durability: 'os' })
    const sync = vi.spyOn(opened.writer.storage.store, 'syncOsInBackground')
    await expect.poll(() => sync.mock.calls.length, WAIT).toBeGreaterThan(1)
    vi.restoreAllMocks()
  })

  test('moves its logs into the databases before they grow large', async () => {
    const { opened } = await start()
    const { store } = opened.writer.storage
    await putTable(opened.client, { name: 'wide', rows: 16, dim: 65_536 })
    const checkpoint = vi.spyOn(store, 'checkpoint')
    for (let i = 0; i < 3; i++) {
      const rows = Array.from({ length: 16 }, (_, row) => row)
      await opened.client.call('update', {
        ...{
          name: 'wide',
          operation: 'set',
          indices: Int32Array.from(rows),
          values: new Float32Array(16 * 65_536).fill(i),
          precondition: {},
        },
      })
      expect(store.logBytes()).toBeLessThan(8 * 1024 * 1024)
    }
    expect(checkpoint).toHaveBeenCalled()
    vi.restoreAllMocks()
  })
})

describe('An error of the store, as clients hear it', () => {
  test('is NOT_READY for a read that failed and a file that could not be opened', () => {
    for (const error of [
      Object.assign(new Error('disk I/O error'), { errcode: 266, errstr: 'disk I/O error' }),
      Object.assign(new Error('EMFILE: open'), { code: 'EMFILE', syscall: 'open' }),
      new StoreFailed('failed'),
    ]) {
      expect(toRefusal(error)).toMatchObject({ code: 'NOT_READY', cause: error })
    }
  })

  test('is itself when it is a refusal, or a bug of the service', () => {
    for (const error of [new GatherdError('DISK_FULL', 'full'), new TypeError('x is undefined')])
      expect(toRefusal(error)).toBe(error)
  })
})
