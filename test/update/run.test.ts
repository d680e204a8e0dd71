import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Arena } from '../../src/tables/arena.ts'
import { bindKey, runUpdate, type UpdateRequest } from '../../src/update/run.ts'
import { putTable, readTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

let service: TestWriter
let arena: Arena
let pinCount: number
beforeEach(async () => {
  service = await startTestWriter()
  arena = new Arena(1024 * 1024)
  service.client.show(arena.memory)
  await putTable(service.client, { name: 'user', rows: 2, dim: 1 })
  pinCount = 0
})
afterEach(() => service.close())

const run = (row: number, changes: Partial<UpdateRequest> = {}) =>
  runUpdate(service.client, arena, {
    entry: service.client.registry.find('user'),
    parsed: {
      arrays: {
        indices: Int32Array.of(row),
        shape: [1],
        values: Float32Array.of(5),
        valuesShape: [1, 1],
        valuesName: 'values',
      },
      operation: 'add',
    },
    precondition: {},
    key: undefined,
    deadlineAt: undefined,
    pinBody: () => {
      pinCount++
      return () => void pinCount--
    },
    ...changes,
  })

describe('Running an update', () => {
  test('changes the rows, unpins the body and releases the arena', async () => {
    const running = run(1)
    expect(pinCount).toBe(1)
    expect(await running).toMatchObject({ version: 1, sequence: 1, rowsUpdated: 1, replayed: false })
    expect(readTable(service.client, 'user')).toEqual([[0], [5]])
    expect([pinCount, arena.reservedBytes]).toEqual([0, 0])
  })

  test('unpins the body and releases the arena when the writer refuses', async () => {
    await expect(run(1, { precondition: { ifMatch: ['1-9'] } })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    expect([pinCount, arena.reservedBytes]).toEqual([0, 0])
  })

  test('returns the first result of its key even when the table would refuse the update by now', async () => {
    const key = bindKey('a', ['add'], Buffer.from('body'))
    const first = await run(1, { key })
    await putTable(service.client, { name: 'user', rows: 1, dim: 1 })
    expect(await run(1, { key })).toEqual({ ...first, replayed: true })
    await expect(run(1)).rejects.toMatchObject({ code: 'INDEX_OUT_OF_RANGE' })
    await expect(run(1, { key: bindKey('b', ['add'], Buffer.from('body')) })).rejects.toMatchObject({
      code: 'INDEX_OUT_OF_RANGE',
    })
    expect([pinCount, arena.reservedBytes]).toEqual([0, 0])
  })
})

describe('A key that is bound to its request', () => {
  const hexOf = (meaning: (string | number | undefined)[], body: string) =>
    Buffer.from(bindKey('a', meaning, Buffer.from(body)).request).toString('hex')

  test('has the SHA-256 of the meaning and the body', () => {
    const expected = createHash('sha256').update('["add",0.5]\nbody').digest('hex')
    expect(hexOf(['add', 0.5], 'body')).toBe(expected)
    expect(bindKey('a', [], Buffer.alloc(0)).key).toBe('a')
  })

  test('differs from that of another meaning or another body', () => {
    const hashes = [hexOf(['add'], 'body'), hexOf(['set'], 'body'), hexOf(['add'], 'bodies')]
    expect(new Set([...hashes, hexOf(['add', undefined], 'body')]).size).toBe(4)
  })
})
