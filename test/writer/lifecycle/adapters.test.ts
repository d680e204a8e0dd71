import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { WriterClient } from '../../../src/writer/client.ts'
import { createLookupServices, lookup } from '../../../src/lookup/lookup.ts'
import { ROWS_AT } from '../../../src/layout/table-layout.ts'
import { putTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let service: TestWriter
let other: WriterClient
beforeEach(async () => {
  service = await startTestWriter()
  other = service.connect()
  await putTable(service.client, { name: 't', rows: 3, dim: 2, values: [1, 2, 3, 4, 5, 6] })
})
afterEach(() => service.close())

/** A of ones, B of `value`: every number of the table becomes larger by it. */
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
 * The writer has begun what `service.client` asked of it before, and the other HTTP worker has heard of it.
 */
const heard = async () => {
  // Lines are not ordered among each other: some turns, so that all that can happen has happened.
  for (let turn = 0; turn < 20; turn++)
    await Promise.all([service.client.call('sync', null), other.call('sync', null)])
}

describe('An adapter', () => {
  test('is on every HTTP worker when its upload is answered, and off when its deletion is', async () => {
    expect(await attach()).toEqual({ created: true })
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

  test('is not taken off before the last lookup that adds it is done, and until then the rows stay', async () => {
    await attach()
    const reservedBytes = service.writer.memory.reservedBytes
    const adapter = other.registry.find('t').adapters.get(1)
    adapter?.factors.pin()
    let isDone = false
    const dropped = service.client
      .call('dropAdapter', { name: 't', precondition: {} })
      .then(() => (isDone = true))
    await heard()
    await expect(step()).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
    expect([isDone, service.writer.memory.reservedBytes]).toEqual([false, reservedBytes])
    // Nobody begins to read it any more.
    expect((await read(other, 1)).row).toEqual([3, 4])
    adapter?.factors.unpin()
    await dropped
    expect(service.writer.memory.reservedBytes).toBeLessThan(reservedBytes)
    expect(await step()).toMatchObject({ sequence: 3, rowsUpdated: 1 })
  })

  test('that replaces another waits for its readers in the same way', async () => {
    await attach(10)
    const adapter = other.registry.find('t').adapters.get(1)
    adapter?.factors.pin()
    const replaced = attach(20)
    await heard()
    adapter?.factors.unpin()
    expect(await replaced).toEqual({ created: false })
    expect(await read(other, 0)).toEqual({ row: [21, 22], sequence: 2 })
  })

  test('refuses updates of its version from every HTTP worker', async () => {
    await attach()
    for (const client of [service.client, other])
      await expect(step(client)).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
  })

  test('is refused for a version that is not current any more, and its memory comes back', async () => {
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

  test('is refused by the condition of its upload when the table has changed meanwhile', async () => {
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

  test('that an HTTP worker was filling goes with the HTTP worker', async () => {
    const reservedBytes = service.writer.memory.reservedBytes
    await begin()
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes + 2 * 65_536)
    service.client.close()
    // A channel says that it is closed after the messages before it, one turn later.
    for (let turn = 0; turn < 100 && service.writer.memory.reservedBytes > reservedBytes; turn++)
      await other.call('sync', null)
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })

  test('goes with its version, and with its table', async () => {
    await attach()
    await putTable(service.client, { name: 't', rows: 3, dim: 2, settings: { keep_versions: 1 } })
    expect(service.writer.memory.reservedBytes).toBe(65_536)
    await service.client.call('commitAdapter', { adapterId: await begin(1, 2), alpha: 1 })
    await service.client.call('remove', { name: 't', precondition: {} })
    expect(service.writer.memory.reservedBytes).toBe(0)
  })

  test('of a table that is not there is TABLE_NOT_FOUND', async () => {
    await expect(
      service.client.call('dropAdapter', { name: 'none', precondition: {} }),
    ).rejects.toMatchObject({ code: 'TABLE_NOT_FOUND' })
    await expect(service.client.call('commitAdapter', { adapterId: 99, alpha: 1 })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
  })
})
