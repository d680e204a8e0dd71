import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { putTable, readTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

const gradients = (name: string, indices: number[], values: number[], precondition = {}) =>
  service.client.call('update', {
    name,
    operation: 'gradients',
    indices: Int32Array.from(indices),
    values: Float32Array.from(values),
    precondition,
  })

describe('A table that is being built', () => {
  test('is invisible before its commit and visible to every HTTP worker afterwards', async () => {
    const other = service.connect()
    const { buildId } = await service.client.call('beginBuild', {
      name: 'user',
      rows: 2,
      dim: 1,
      dtype: 'float32',
      settings: {},
      precondition: {},
    })
    expect(service.client.registry.get('user')).toBeUndefined()
    expect(await service.client.call('commitBuild', { buildId })).toMatchObject({
      created: true,
      version: 1,
      revision: 0,
    })
    expect(service.client.registry.find('user').current.handle.version).toBe(1)
    expect(other.registry.find('user').current.handle.version).toBe(1)
  })

  test('is known to an HTTP worker that connects later', async () => {
    await putTable(service.client, { name: 'user', rows: 2, dim: 1 })
    const late = service.connect()
    await late.call('sync', null)
    expect(late.registry.names()).toEqual(['user'])
  })

  test('releases its memory once when it is aborted, even twice, or when its HTTP worker ends', async () => {
    const begin = {
      name: 'user',
      rows: 1000,
      dim: 100,
      dtype: 'float32' as const,
      settings: {},
      precondition: {},
    }
    const { buildId } = await service.client.call('beginBuild', begin)
    expect(service.writer.memory.reservedBytes).toBeGreaterThan(400_000)
    await service.client.call('abortBuild', { buildId })
    await service.client.call('abortBuild', { buildId })
    expect(service.writer.memory.reservedBytes).toBe(0)
    const other = service.connect()
    await other.call('beginBuild', begin)
    other.close()
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(0)
    await expect(service.client.call('commitBuild', { buildId })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
  })

  test('is refused when it exceeds the quota, before memory is touched', async () => {
    await service.close()
    service = await startTestWriter({ quotaBytes: 1024 * 1024 })
    await expect(putTable(service.client, { name: 'user', rows: 1024, dim: 1024 })).rejects.toMatchObject({
      code: 'MEMORY_QUOTA_EXCEEDED',
    })
    expect(service.writer.memory.reservedBytes).toBe(0)
  })
})

describe('A replacement', () => {
  test('gets the next version, keeps the settings, and leaves keep_versions versions readable', async () => {
    await putTable(service.client, {
      name: 'user',
      rows: 1,
      dim: 1,
      values: [1],
      settings: { out_of_range: 'clip' },
    })
    for (const value of [2, 3])
      await putTable(service.client, { name: 'user', rows: 1, dim: 1, values: [value] })
    const entry = service.client.registry.find('user')
    expect(entry.record.settings.out_of_range).toBe('clip')
    expect([...entry.versions.keys()]).toEqual([2, 3])
    expect(() => service.client.registry.resolve(entry, 1)).toThrowError(
      expect.objectContaining({ code: 'VERSION_NOT_FOUND' }),
    )
  })

  test('frees an old version only when every HTTP worker has finished its last read of it', async () => {
    const other = service.connect()
    await putTable(service.client, { name: 'user', rows: 1, dim: 1, settings: { keep_versions: 1 } })
    const one = service.writer.memory.reservedBytes
    const reader = other.registry.find('user').current
    reader.pin()
    await putTable(service.client, { name: 'user', rows: 1, dim: 1 })
    await other.call('sync', null)
    expect(service.writer.memory.reservedBytes).toBe(2 * one)
    reader.unpin()
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(one)
  })

  test('is refused when its condition held at the start of the build but not at the commit', async () => {
    await putTable(service.client, { name: 'user', rows: 1, dim: 1, values: [1] })
    const begin = {
      name: 'user',
      rows: 1,
      dim: 1,
      dtype: 'float32' as const,
      settings: {},
      precondition: { ifMatch: ['1-0'] },
    }
    const { buildId } = await service.client.call('beginBuild', begin)
    await gradients('user', [0], [1])
    await expect(service.client.call('commitBuild', { buildId })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    expect(service.client.registry.find('user').current.handle.version).toBe(1)
  })
})

describe('Settings', () => {
  test('change on every HTTP worker before the answer', async () => {
    const other = service.connect()
    await putTable(service.client, { name: 'user', rows: 4, dim: 1 })
    await service.client.call('patch', { name: 'user', settings: { padding_index: -1 }, precondition: {} })
    expect(other.registry.find('user').record.settings.padding_index).toBe(-1)
  })

  test('refuse a padding index that names no row', async () => {
    await putTable(service.client, { name: 'user', rows: 4, dim: 1 })
    const patch = (padding_index: number) =>
      service.client.call('patch', { name: 'user', settings: { padding_index }, precondition: {} })
    await expect(patch(4)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(patch(-5)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(patch(-4)).resolves.toMatchObject({ info: { padding_index: -4 }, revision: 1 })
  })

  test('drop optimizer state and its memory only when the kind of optimizer changes', async () => {
    const adagrad = {
      kind: 'adagrad' as const,
      learning_rate: 1,
      initial_accumulator: 3,
      epsilon: 0,
      epsilon_inside_sqrt: false,
    }
    await putTable(service.client, { name: 'user', rows: 2, dim: 1, settings: { optimizer: adagrad } })
    const before = service.writer.memory.reservedBytes
    await gradients('user', [0], [1])
    expect(service.writer.memory.reservedBytes).toBeGreaterThan(before)
    expect(readTable(service.client, 'user')).toEqual([[-0.5], [0]])
    const patch = (optimizer: object) =>
      service.client.call('patch', {
        name: 'user',
        settings: { optimizer: optimizer as never },
        precondition: {},
      })
    await patch({ ...adagrad, learning_rate: 2, initial_accumulator: 100 })
    await gradients('user', [0], [0])
    expect(readTable(service.client, 'user')[0]).toEqual([-0.5])
    await patch({ kind: 'sgd', learning_rate: 1 })
    expect(service.writer.memory.reservedBytes).toBe(before)
  })
})

describe('An update', () => {
  test('sums the gradients of equal rows, counts distinct rows, and increments the sequence by one', async () => {
    await putTable(service.client, {
      name: 'user',
      rows: 3,
      dim: 2,
      values: [1, 2, 3, 4, 5, 6],
      settings: { optimizer: { kind: 'sgd', learning_rate: 1 } },
    })
    const answer = await gradients('user', [2, 0, 2], [1, 1, 2, 2, 3, 3])
    expect(answer).toMatchObject({ version: 1, sequence: 1, rowsUpdated: 2, replayed: false })
    expect(readTable(service.client, 'user')).toEqual([
      [-1, 0],
      [3, 4],
      [1, 2],
    ])
  })

  test('changes nothing when any part of it is invalid', async () => {
    await putTable(service.client, { name: 'user', rows: 2, dim: 1, dtype: 'float16' })
    await expect(gradients('user', [0, 2], [1, 1])).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' })
    await expect(gradients('user', [0, -1], [1, 1])).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' })
    await expect(gradients('user', [0, 1], [1])).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' })
    await expect(gradients('user', [0], [1e9])).rejects.toMatchObject({ code: 'NON_FINITE' })
    await expect(gradients('user', [0], [1], { ifMatch: ['1-1'] })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    await expect(gradients('nobody', [0], [1])).rejects.toMatchObject({ code: 'TABLE_NOT_FOUND' })
    expect(service.client.registry.find('user').current.readSequence()).toBe(0)
  })

  test('without indices does not advance the optimizer step', async () => {
    await putTable(service.client, { name: 'user', rows: 2, dim: 1 })
    expect(await gradients('user', [], [])).toMatchObject({ sequence: 0, rowsUpdated: 0 })
  })

  test('of gradients never changes the padding row, while set and add may', async () => {
    await putTable(service.client, {
      name: 'user',
      rows: 2,
      dim: 1,
      settings: { padding_index: -1, optimizer: { kind: 'sgd', learning_rate: 1 } },
    })
    await gradients('user', [1, 0], [5, 5])
    expect(readTable(service.client, 'user')).toEqual([[-5], [0]])
    const set = {
      name: 'user',
      operation: 'set' as const,
      indices: Int32Array.of(1),
      values: Float32Array.of(9),
      precondition: {},
    }
    await service.client.call('update', set)
    expect(readTable(service.client, 'user')[1]).toEqual([9])
  })

  test('is not begun after the deadline of its client', async () => {
    await putTable(service.client, { name: 'user', rows: 1, dim: 1 })
    const late = {
      name: 'user',
      operation: 'set' as const,
      indices: Int32Array.of(0),
      values: Float32Array.of(9),
      precondition: {},
      deadlineAt: Date.now() - 1,
    }
    await expect(service.client.call('update', late)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    expect(readTable(service.client, 'user')).toEqual([[0]])
  })

  test('reaches rows in every segment of a table', async () => {
    await service.close()
    service = await startTestWriter({ segmentBytesMax: 65_536 })
    const rows = 40_000
    await putTable(service.client, { name: 'user', rows, dim: 1 })
    expect(service.client.registry.find('user').current.handle.segments.length).toBeGreaterThan(2)
    const indices = [0, 14_331, 14_332, rows - 1]
    await service.client.call('update', {
      name: 'user',
      operation: 'add',
      indices: Int32Array.from(indices),
      values: Float32Array.of(1, 2, 3, 4),
      precondition: {},
    })
    const table = readTable(service.client, 'user').flat()
    expect(indices.map((row) => table[row])).toEqual([1, 2, 3, 4])
    expect(table.reduce((sum, value) => sum + value, 0)).toBe(10)
  })
})

test('An HTTP worker that is closed rejects calls instead of leaving them pending', async () => {
  const other = service.connect()
  const pending = other.call('beginBuild', {
    name: 'user',
    rows: 1,
    dim: 1,
    dtype: 'float32',
    settings: {},
    precondition: {},
  })
  other.close()
  await expect(pending).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
  await expect(other.call('sync', null)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
})
