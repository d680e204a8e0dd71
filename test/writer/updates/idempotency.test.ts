import { describe, expect, test } from 'vitest'
import type { Durability } from '../../../src/core/types.ts'
import { Idempotency } from '../../../src/writer/updates/idempotency.ts'
import { putTable } from '../../helpers/writer.ts'
import {
  crash,
  duringSnapshot,
  keyOf,
  makeDirectory,
  MANY_ROWS,
  type OpenWriter,
  openWriter,
  readNumber,
  readRows,
  send,
} from '../restart.ts'
import { makeGroupCommit } from './group-commit-dependencies.ts'

const start = async (durability: Durability = 'disk', rows = 1): Promise<OpenWriter> => {
  const opened = await openWriter(makeDirectory())
  await putTable(opened.client, { name: 'user', rows, dim: 1, settings: { durability } })
  return opened
}
const add = { operation: 'add' as const }
const addKeyed = (opened: OpenWriter, key: string, value = 1) =>
  send(opened, [0], [value], { ...add, ...keyOf(key, `add ${value}`) })
const snapshot = ({ client }: OpenWriter) => client.call('snapshot', null)

describe('A repeated key', () => {
  test('is answered with the first result, and the update is applied once', async () => {
    const opened = await start()
    const first = await addKeyed(opened, 'a')
    await send(opened, [0], [10], add)
    expect(await addKeyed(opened, 'a')).toEqual({ ...first, replayed: true })
    expect(first).toEqual({ version: 1, sequence: 1, rowsUpdated: 1, durability: 'disk', replayed: false })
    expect(readRows(opened)).toEqual([[11]])
  })

  test('with another request is refused while the first one runs and after it', async () => {
    const opened = await start()
    const both = await Promise.allSettled([
      addKeyed(opened, 'a'),
      send(opened, [0], [2], { ...add, ...keyOf('a', 'other') }),
    ])
    expect(both).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'IDEMPOTENCY_MISMATCH' } },
    ])
    await expect(send(opened, [0], [2], { ...add, ...keyOf('a', 'other') })).rejects.toMatchObject({
      code: 'IDEMPOTENCY_MISMATCH',
    })
    expect(readRows(opened)).toEqual([[1]])
  })

  test('is refused with a time to wait while the first request runs, and answered afterwards', async () => {
    const opened = await start()
    const both = await Promise.allSettled([addKeyed(opened, 'a'), addKeyed(opened, 'a')])
    expect(both[1]).toMatchObject({
      reason: { code: 'IDEMPOTENCY_IN_FLIGHT', headers: { 'Retry-After': '1' } },
    })
    expect(await addKeyed(opened, 'a')).toMatchObject({ replayed: true, sequence: 1 })
    expect(readRows(opened)).toEqual([[1]])
  })

  test('is free again when the first request was refused, because refusals are not stored', async () => {
    const opened = await start()
    const outside = send(opened, [7], [1], keyOf('a', 'outside'))
    await expect(outside).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' })
    const late = send(opened, [0], [1], { ...keyOf('a', 'late'), deadlineAt: Date.now() - 1 })
    await expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    const old = send(opened, [0], [1], { ...keyOf('a', 'old'), precondition: { ifMatch: ['1-5'] } })
    await expect(old).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
    expect(await addKeyed(opened, 'a')).toMatchObject({ replayed: false, sequence: 1 })
  })

  test('is answered whatever its condition, because the client asks for the first result', async () => {
    const opened = await start()
    const once = () => send(opened, [0], [1], { ...add, ...keyOf('a'), precondition: { ifMatch: ['1-0'] } })
    await once()
    expect(await once()).toMatchObject({ replayed: true, sequence: 1 })
  })

  test('of an update without rows is answered, too', async () => {
    const opened = await start()
    await send(opened, [], [], keyOf('a'))
    await send(opened, [0], [1])
    expect(await send(opened, [], [], keyOf('a'))).toMatchObject({
      sequence: 0,
      rowsUpdated: 0,
      replayed: true,
    })
  })

  test.each(['disk', 'os'] as const)(
    'is answered with the first result after a crash (%s)',
    async (durability) => {
      const opened = await start(durability)
      const first = await addKeyed(opened, 'a')
      const again = await openWriter(crash(opened.dataDir))
      expect(await addKeyed(again, 'a')).toEqual({ ...first, replayed: true })
      await expect(send(again, [0], [2], { ...add, ...keyOf('a', 'other') })).rejects.toMatchObject({
        code: 'IDEMPOTENCY_MISMATCH',
      })
      expect(readRows(again)).toEqual([[1]])
    },
  )

  test('belongs to its table alone: another table, or a later one of the same name, does not have it', async () => {
    const opened = await start()
    await putTable(opened.client, { name: 'other', rows: 1, dim: 1 })
    await addKeyed(opened, 'a')
    expect(await send(opened, [0], [1], { ...add, ...keyOf('a', 'add 1'), name: 'other' })).toMatchObject({
      replayed: false,
    })
    await opened.client.call('remove', { name: 'user', precondition: {} })
    await putTable(opened.client, { name: 'user', rows: 1, dim: 1 })
    expect(await addKeyed(opened, 'a')).toMatchObject({ replayed: false, sequence: 1 })
    expect(readRows(opened)).toEqual([[1]])
  })
})

describe('A key of a table of mode none', () => {
  test('is stored while the process runs', async () => {
    const opened = await start('none')
    await addKeyed(opened, 'a')
    expect(await addKeyed(opened, 'a')).toMatchObject({ replayed: true, sequence: 1 })
  })

  test('is lost in a crash together with its update, so that the retry applies it', async () => {
    const opened = await start('none')
    await addKeyed(opened, 'a')
    const again = await openWriter(crash(opened.dataDir))
    expect(readRows(again)).toEqual([[0]])
    // The sequence 1 was given out before the crash.
    expect(await addKeyed(again, 'a')).toMatchObject({ replayed: false, sequence: 65_537 })
    expect(readRows(again)).toEqual([[1]])
  })

  test('survives a crash once a snapshot holds its update', async () => {
    const opened = await start('none')
    await addKeyed(opened, 'a')
    await snapshot(opened)
    await addKeyed(opened, 'b')
    const again = await openWriter(crash(opened.dataDir))
    expect([await addKeyed(again, 'a'), await addKeyed(again, 'b')]).toMatchObject([
      { replayed: true },
      { replayed: false },
    ])
    expect(readRows(again)).toEqual([[2]])
  })

  test('is lost with its update when the snapshot for which both are journaled is not finished', async () => {
    const opened = await start('none', MANY_ROWS)
    await addKeyed(opened, 'a')
    let image = ''
    await duringSnapshot(opened, async () => {
      await addKeyed(opened, 'b')
      image = crash(opened.dataDir)
    })
    const again = await openWriter(image)
    expect(readNumber(again, 0)).toBe(0)
    for (const key of ['a', 'b']) expect(await addKeyed(again, key)).toMatchObject({ replayed: false })
    expect(readNumber(again, 0)).toBe(2)
  })

  test('survives with its update when the journal continues a finished snapshot without a gap', async () => {
    const opened = await start('none', MANY_ROWS)
    await addKeyed(opened, 'a')
    await duringSnapshot(opened, async () => void (await addKeyed(opened, 'b')))
    // From here on a start would restore every update so far.
    let image = ''
    await duringSnapshot(opened, async () => {
      await addKeyed(opened, 'c')
      image = crash(opened.dataDir)
    })
    const again = await openWriter(image)
    for (const key of ['a', 'b', 'c']) expect(await addKeyed(again, key)).toMatchObject({ replayed: true })
    expect(readNumber(again, 0)).toBe(3)
  })

  test('does not keep the rows of its version in memory when the table is replaced', async () => {
    const setup = makeGroupCommit()
    const table = setup.add({ durability: 'none' })
    const reservation = setup.keys.reserve(table, { key: 'a', request: new Uint8Array(32) })
    setup.keys.keepUnsaved(table.current, reservation, {
      version: 1,
      sequence: 1,
      rowsUpdated: 1,
      durability: 'none',
      replayed: false,
    })
    // Another object with the same handle key finds it, because only the key of the handle is stored.
    expect(setup.keys.listUnsaved({ ...table.current })).toHaveLength(1)
    expect(
      setup.keys.listUnsaved({ ...table.current, handle: { ...table.current.handle, key: 'another' } }),
    ).toEqual([])
    setup.close()
  })
})

test('A key can be reserved again only after it was released', () => {
  const setup = makeGroupCommit()
  const keys = new Idempotency(setup.store)
  const key = { key: 'a', request: new Uint8Array(32) }
  const reservation = keys.reserve({ id: 1, name: 'one' }, key)
  expect(() => keys.reserve({ id: 1, name: 'one' }, key)).toThrow(
    expect.objectContaining({ code: 'IDEMPOTENCY_IN_FLIGHT' }),
  )
  expect(() => keys.reserve({ id: 2, name: 'two' }, key)).not.toThrow()
  keys.release(reservation)
  expect(() => keys.reserve({ id: 1, name: 'one' }, key)).not.toThrow()
  setup.close()
})
