import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { describe, expect, test } from 'vitest'
import { createLookupServices, lookup } from '../../../src/lookup/lookup.ts'
import { ROWS_AT } from '../../../src/layout/table-layout.ts'
import { putTable } from '../../helpers/writer.ts'
import { crash, listFolder, makeDirectory, type OpenWriter, openWriter, send } from '../restart.ts'
import { damageFile, refusalOf } from './damage.ts'

const ROWS = 5
const DIM = 3
const RANK = 2
const WAIT = { timeout: 10_000 }
const services = createLookupServices(null)

/** Reads every row as a lookup answers it, and the sequence of the answer. */
const readAll = async ({ client }: OpenWriter) => {
  const entry = client.registry.find('user')
  const request = { indices: Int32Array.from({ length: ROWS }, (_, i) => i), shape: [ROWS], options: {} }
  const { body, sequence } = await lookup(services, entry, entry.current, request, 'raw')
  const rows = Array.from(new Float32Array(body.bytes.buffer, body.bytes.byteOffset, ROWS * DIM))
  body.release()
  return { rows, sequence }
}
const tableAt = (row: number, column: number) => row * 10 + column
const aAt = (row: number, k: number) => row + 1 + k
const bAt = (k: number, column: number) => (k + 1) * (column + 1)
/** Computes a number independently: that of the row, plus alpha / rank times the product of A and B. */
const adapted = (alpha: number): number[] =>
  Array.from({ length: ROWS * DIM }, (_, i) => {
    const [row, column] = [Math.floor(i / DIM), i % DIM]
    const product = Array.from({ length: RANK }, (_one, k) => aAt(row, k) * bAt(k, column)).reduce(
      (sum, one) => sum + one,
      0,
    )
    return tableAt(row, column) + (alpha / RANK) * product
  })
const plain = Array.from({ length: ROWS * DIM }, (_, i) => tableAt(Math.floor(i / DIM), i % DIM))

const start = async (durability: 'disk' | 'none' = 'disk') => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, {
    name: 'user',
    rows: ROWS,
    dim: DIM,
    values: plain,
    settings: { durability },
  })
  return opened
}
const attach = async ({ client }: OpenWriter, alpha: number, dtype: 'float32' | 'float16' = 'float32') => {
  const { adapterId, a, b } = await client.call('beginAdapter', {
    name: 'user',
    version: 1,
    rank: RANK,
    dtype,
    precondition: {},
  })
  const values = Array.from({ length: ROWS * RANK }, (_, i) => aAt(Math.floor(i / RANK), i % RANK))
  if (dtype === 'float32') new Float32Array(a[0].memory.buffer, ROWS_AT, values.length).set(values)
  else new Float16Array(a[0].memory.buffer, ROWS_AT, values.length).set(values)
  new Float32Array(b.buffer, ROWS_AT, RANK * DIM).set(
    Array.from({ length: RANK * DIM }, (_, i) => bAt(Math.floor(i / DIM), i % DIM)),
  )
  return client.call('commitAdapter', { adapterId, alpha })
}
const drop = ({ client }: OpenWriter) => client.call('dropAdapter', { name: 'user', precondition: {} })
const filesOf = ({ writer }: OpenWriter) => writer.find('user').current.adapter?.files ?? []

describe('An adapter', () => {
  test.each(['float32', 'float16'] as const)(
    'survives a crash with the same lookup results (%s)',
    async (dtype) => {
      const opened = await start()
      await attach(opened, 4, dtype)
      const again = await openWriter(crash(opened.dataDir))
      expect(await readAll(again)).toEqual({ rows: adapted(4), sequence: 1 })
      expect(await readAll(opened)).toEqual({ rows: adapted(4), sequence: 1 })
      await expect(send(again, [0], [1, 1, 1])).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
      expect(again.writer.memory.reservedBytes).toBe(opened.writer.memory.reservedBytes)
      expect(again.client.registry.find('user').record.adapters).toMatchObject([
        { rank: RANK, alpha: 4, dtype },
      ])
    },
  )

  test('that was replaced or removed is as last answered, and files of earlier adapters are gone', async () => {
    const opened = await start()
    await attach(opened, 4)
    const before = filesOf(opened)
    await attach(opened, 8)
    await opened.writer.storage.cleanup.whenIdle()
    expect(listFolder(opened.dataDir).filter((file) => before.includes(file))).toEqual([])
    expect(listFolder(opened.dataDir)).toHaveLength(3)
    expect(await readAll(await openWriter(crash(opened.dataDir)))).toEqual({ rows: adapted(8), sequence: 2 })
    await drop(opened)
    await opened.writer.storage.cleanup.whenIdle()
    expect(listFolder(opened.dataDir)).toHaveLength(1)
    const again = await openWriter(crash(opened.dataDir))
    expect(await readAll(again)).toEqual({ rows: plain, sequence: 3 })
    expect(await send(again, [0], [1, 1, 1])).toMatchObject({ sequence: 4 })
  })

  test('survives a stop and a start at its sequence, in mode none too', async () => {
    const opened = await start('none')
    await send(opened, [0], [0, 1, 2])
    await attach(opened, 4)
    await opened.close()
    expect(await readAll(await openWriter(opened.dataDir))).toEqual({ rows: adapted(4), sequence: 2 })
  })

  test.each([0, 1])(
    'whose file %i is damaged makes a start fail, or is dropped without its table when recovery may go back',
    async (which) => {
      const opened = await start()
      await attach(opened, 4)
      const image = crash(opened.dataDir)
      damageFile(image, filesOf(opened)[which], 'flipped')
      const { code, message } = await refusalOf(image)
      expect([code, message]).toEqual(['DamagedSnapshot', expect.stringContaining(filesOf(opened)[which])])
      const again = await openWriter(image, { goesBack: true })
      expect((await readAll(again)).rows).toEqual(plain)
      expect(again.warnings.at(-1)).toMatch(/the adapter is lost$/)
      const kept = filesOf(opened).map((file) => `${file}.damaged`)
      expect(listFolder(image)).toEqual(expect.arrayContaining(kept))
      expect(listFolder(image)).toHaveLength(1 + kept.length)
      expect((await readAll(await openWriter(crash(image)))).rows).toEqual(plain)
    },
  )

  test('is refused when its two files were exchanged', async () => {
    const opened = await start()
    await attach(opened, 4)
    const [a, b] = filesOf(opened)
    const { store } = opened.writer.storage
    const [adapter] = store.load().adapters
    store.commit({ changes: [{ kind: 'put-adapter', adapter: { ...adapter, fileA: b, fileB: a } }] })
    expect(await refusalOf(crash(opened.dataDir))).toMatchObject({ code: 'DamagedSnapshot' })
  })

  test('has its memory counted once when its HTTP worker ends while its files are written', async () => {
    const opened = await start()
    const { memory } = opened.writer
    const withoutAdapter = memory.reservedBytes
    const other = opened.connect()
    const { adapterId } = await other.call('beginAdapter', {
      name: 'user',
      version: 1,
      rank: 1,
      dtype: 'float32',
      precondition: {},
    })
    const withAdapter = memory.reservedBytes
    const { rename } = fs
    const gate = Promise.withResolvers<void>()
    let isWriting = false
    fs.rename = (...paths) => {
      isWriting = true
      return gate.promise.then(() => rename(...paths))
    }
    syncBuiltinESMExports()
    try {
      other.call('commitAdapter', { adapterId, alpha: 1 }).catch(() => {})
      await expect.poll(() => isWriting, WAIT).toBe(true)
      other.close()
      await expect.poll(() => [...opened.writer.httpWorkers].length, WAIT).toBe(1)
    } finally {
      fs.rename = rename
      syncBuiltinESMExports()
      gate.resolve()
    }
    await expect.poll(() => opened.writer.find('user').current.adapter, WAIT).not.toBeNull()
    expect(memory.reservedBytes).toBe(withAdapter)
    await drop(opened)
    expect(memory.reservedBytes).toBe(withoutAdapter)
    await expect(attach(opened, 4)).resolves.toMatchObject({ created: true })
  })
})
