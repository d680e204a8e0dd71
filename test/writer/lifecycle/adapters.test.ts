import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { GatherdError } from '../../../src/core/errors.ts'
import type { WriterClient } from '../../../src/writer/client.ts'
import { createLookupServices, lookup } from '../../../src/lookup/lookup.ts'
import { ROWS_AT } from '../../../src/layout/table-layout.ts'
import { crash, makeDirectory, type OpenWriter, openWriter, send } from '../restart.ts'
import { putTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let service: TestWriter
let other: WriterClient
beforeEach(async () => {
  service = await startTestWriter()
  other = service.connect()
  await putTable(service.client, { name: 't', rows: 3, dim: 2, values: [1, 2, 3, 4, 5, 6] })
})
afterEach(() => service.close())

/** Attaches an adapter with A of ones and B of `value`, which adds `value` to every number of the table. */
const begin = async (value = 10, version = 1) => {
  const argument = { name: 't', version, rank: 1, dtype: 'float32' as const, precondition: {} }
  const { adapterId, a, b } = await service.client.call('beginAdapter', argument)
  new Float32Array(a[0].memory.buffer, ROWS_AT, 3).fill(1)
  new Float32Array(b.buffer, ROWS_AT, 2).fill(value)
  return adapterId
}
const attach = async (value?: number) =>
  service.client.call('commitAdapter', { adapterId: await begin(value), alpha: 1 })

const services = createLookupServices(null)
const read = async (client: WriterClient, id: number): Promise<{ row: number[]; sequence: number }> => {
  const entry = client.registry.find('t')
  const request = { indices: Int32Array.of(id), shape: [], options: {} }
  const { body, sequence } = await lookup(services, entry, entry.current, request, 'raw')
  const row = Array.from(new Float32Array(body.bytes.buffer, body.bytes.byteOffset, 2))
  body.release()
  return { row, sequence }
}

const step = (client = service.client) =>
  client.call('update', {
    name: 't',
    operation: 'set',
    indices: Int32Array.of(0),
    values: Float32Array.of(7, 7),
    precondition: {},
  })

/**
 * Waits until the writer has begun the earlier calls of `service.client` and the other HTTP worker has
 * received its messages about them.
 */
const settleMessages = async () => {
  // Message channels are not ordered among each other, so several round trips let every message arrive.
  for (let roundTrip = 0; roundTrip < 20; roundTrip++)
    await Promise.all([service.client.call('sync', null), other.call('sync', null)])
}

describe('An adapter', () => {
  test('applies on every HTTP worker once its upload is answered, and on none once its deletion is', async () => {
    expect(await attach()).toMatchObject({ created: true, version: 1, sequence: 1 })
    for (const client of [service.client, other])
      expect(await read(client, 1)).toEqual({ row: [13, 14], sequence: 1 })
    await other.call('dropAdapter', { name: 't', precondition: {} })
    for (const client of [service.client, other])
      expect(await read(client, 1)).toEqual({ row: [3, 4], sequence: 2 })
  })

  test('is known to an HTTP worker that connects later', async () => {
    await attach()
    const late = service.connect()
    await late.call('sync', null)
    expect(await read(late, 0)).toEqual({ row: [11, 12], sequence: 1 })
  })

  test('is removed only after the last lookup that uses it, and the rows do not change until then', async () => {
    await attach()
    const reservedBytes = service.writer.memory.reservedBytes
    const adapter = other.registry.find('t').adapters.get(1)
    adapter?.factors.pin()
    let isDone = false
    const dropped = service.client
      .call('dropAdapter', { name: 't', precondition: {} })
      .then(() => (isDone = true))
    await settleMessages()
    await expect(step()).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
    expect([isDone, service.writer.memory.reservedBytes]).toEqual([false, reservedBytes])
    // A new read does not use it any more.
    expect((await read(other, 1)).row).toEqual([3, 4])
    adapter?.factors.unpin()
    await dropped
    expect(service.writer.memory.reservedBytes).toBeLessThan(reservedBytes)
    expect(await step()).toMatchObject({ sequence: 3, rowsUpdated: 1 })
  })

  test('that replaces another one waits for the readers of that one in the same way', async () => {
    await attach(10)
    const adapter = other.registry.find('t').adapters.get(1)
    adapter?.factors.pin()
    const replaced = attach(20)
    await settleMessages()
    adapter?.factors.unpin()
    expect(await replaced).toMatchObject({ created: false })
    expect(await read(other, 0)).toEqual({ row: [21, 22], sequence: 2 })
  })

  test('makes updates of its version refused from every HTTP worker', async () => {
    await attach()
    for (const client of [service.client, other])
      await expect(step(client)).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
  })

  test('is refused for a version that is no longer current, and its memory is released', async () => {
    const adapterId = await begin()
    await putTable(other, { name: 't', rows: 3, dim: 2 })
    const reservedBytes = service.writer.memory.reservedBytes
    await expect(service.client.call('commitAdapter', { adapterId, alpha: 1 })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    await expect(begin(10, 1)).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
    await service.client.call('abortAdapter', { adapterId })
    await service.client.call('abortAdapter', { adapterId })
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes - 2 * 65_536)
  })

  test('is refused by the condition of its upload when the table has changed in between', async () => {
    const argument = {
      name: 't',
      version: 1,
      rank: 1,
      dtype: 'float32' as const,
      precondition: { ifMatch: ['1-0'] },
    }
    const { adapterId } = await service.client.call('beginAdapter', argument)
    await step()
    await expect(service.client.call('commitAdapter', { adapterId, alpha: 1 })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
  })

  test('that is still being filled is removed when its HTTP worker ends', async () => {
    const reservedBytes = service.writer.memory.reservedBytes
    await begin()
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes + 2 * 65_536)
    service.client.close()
    // A channel reports its closing after earlier messages, one round of the event loop later.
    for (let round = 0; round < 100 && service.writer.memory.reservedBytes > reservedBytes; round++)
      await other.call('sync', null)
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })

  test('is removed together with its version, and with its table', async () => {
    await attach()
    await putTable(service.client, { name: 't', rows: 3, dim: 2, settings: { keep_versions: 1 } })
    expect(service.writer.memory.reservedBytes).toBe(65_536)
    await service.client.call('commitAdapter', { adapterId: await begin(1, 2), alpha: 1 })
    await service.client.call('remove', { name: 't', precondition: {} })
    expect(service.writer.memory.reservedBytes).toBe(0)
  })

  test('of a table that does not exist is refused with TABLE_NOT_FOUND', async () => {
    await expect(
      service.client.call('dropAdapter', { name: 'none', precondition: {} }),
    ).rejects.toMatchObject({ code: 'TABLE_NOT_FOUND' })
    await expect(service.client.call('commitAdapter', { adapterId: 99, alpha: 1 })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
  })
})

describe.each(['disk', 'os', 'none'] as const)('After a crash, a table of mode %s', (durability) => {
  const change = async ({ client }: OpenWriter, name: 'attach' | 'drop') => {
    if (name === 'drop') return client.call('dropAdapter', { name: 'user', precondition: {} })
    const argument = { name: 'user', version: 1, rank: 1, dtype: 'float32' as const, precondition: {} }
    const { adapterId } = await client.call('beginAdapter', argument)
    return client.call('commitAdapter', { adapterId, alpha: 1 })
  }
  const stateOf = ({ writer }: OpenWriter) => {
    const { table, adapter } = writer.find('user').current
    return [table.readSequence(), table.readUpdatedAt(), adapter !== null]
  }

  test('loses its adapter on request when the disk has no room for a snapshot', async () => {
    const opened = await openWriter(makeDirectory())
    await putTable(opened.client, { name: 'user', rows: 1, dim: 1, settings: { durability } })
    await change(opened, 'attach')
    // As after an update of mode none, which only a snapshot would hold.
    opened.writer.find('user').current.stored.durableSequence = 0
    vi.spyOn(opened.writer.storage.snapshots, 'take').mockRejectedValue(
      new GatherdError('DISK_FULL', 'the disk is full'),
    )
    await change(opened, 'drop')
    expect(stateOf(await openWriter(crash(opened.dataDir)))[2]).toBe(false)
  })

  test.each([0, 2])(
    'has the sequence and time of a change of its adapter after %i updates',
    async (count) => {
      const opened = await openWriter(makeDirectory())
      await putTable(opened.client, { name: 'user', rows: 1, dim: 1, settings: { durability } })
      for (let i = 0; i < count; i++) await send(opened, [0], [1], { operation: 'add' })
      for (const [i, name] of (['attach', 'attach', 'drop'] as const).entries()) {
        await change(opened, name)
        expect(stateOf(opened)).toEqual([count + i + 1, expect.any(Number), name === 'attach'])
        const again = await openWriter(crash(opened.dataDir))
        expect(stateOf(again)).toEqual(stateOf(opened))
      }
    },
  )
})
