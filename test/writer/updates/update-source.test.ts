import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { UpdateHead } from '../../../src/writer/protocol.ts'
import { Arena } from '../../../src/tables/arena.ts'
import { putTable, readTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let service: TestWriter
const arena = new Arena(1024 * 1024)
const [INDICES_AT, VALUES_AT] = [4096, 8192]

beforeEach(async () => {
  service = await startTestWriter()
  service.client.show(arena.memory)
})
afterEach(() => service.close())

/** Arrays in shared memory that the writer reads in place. */
const mail = (indices: number[], values: number[], head: Partial<UpdateHead> = {}) => {
  arena.int32.set(indices, INDICES_AT / 4)
  arena.float32.set(values, VALUES_AT / 4)
  const places = {
    indicesAt: INDICES_AT,
    indexCount: indices.length,
    valuesAt: VALUES_AT,
    valueCount: values.length,
  }
  return service.client.call('update', { name: 'user', operation: 'set', precondition: {}, ...head, places })
}

const valuesNow = (count: number): number[] => [
  ...arena.float32.subarray(VALUES_AT / 4, VALUES_AT / 4 + count),
]

describe('An update in the shared memory of an HTTP worker', () => {
  test.each(['gradients', 'set', 'add'] as const)(
    'of %s is read in place and not changed',
    async (operation) => {
      const optimizer = { kind: 'sgd', learning_rate: 1 } as const
      await putTable(service.client, {
        name: 'user',
        rows: 3,
        dim: 2,
        values: [1, 1, 2, 2, 3, 3],
        settings: { optimizer },
      })
      const result = await mail([2, 0, 2], [1, 2, 3, 4, 5, 6], { operation })
      expect(result).toMatchObject({ sequence: 1, rowsUpdated: 2 })
      const expected = {
        gradients: [-2, -3, 2, 2, -3, -5],
        set: [3, 4, 2, 2, 5, 6],
        add: [4, 5, 2, 2, 9, 11],
      }
      expect(readTable(service.client, 'user').flat()).toEqual(expected[operation])
      expect(valuesNow(6)).toEqual([1, 2, 3, 4, 5, 6])
    },
  )

  test('is refused for the same reasons as any update, with the places of the errors', async () => {
    await putTable(service.client, { name: 'user', rows: 3, dim: 1, values: [1, 2, 3] })
    await expect(mail([0, 3], [1, 1])).rejects.toMatchObject({
      code: 'INDEX_OUT_OF_RANGE',
      errors: [{ pointer: '/indices/1' }],
    })
    await expect(mail([0, -1], [1, 1])).rejects.toMatchObject({
      code: 'INDEX_OUT_OF_RANGE',
      errors: [{ pointer: '/indices/1' }],
    })
    await expect(mail([0, 1], [1])).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' })
    for (const operation of ['gradients', 'set', 'add'] as const) {
      const refused = mail([1, 1], [1, NaN], { operation, shape: [2] })
      const name = operation === 'gradients' ? 'gradients' : 'values'
      await expect(refused).rejects.toMatchObject({
        code: 'NON_FINITE',
        errors: [{ pointer: `/${name}/1/0` }],
      })
      expect(valuesNow(2)).toEqual([1, NaN])
    }
    expect(readTable(service.client, 'user').flat()).toEqual([1, 2, 3])
  })

  test('is not read from the memory of another HTTP worker', async () => {
    await putTable(service.client, { name: 'user', rows: 1, dim: 1, values: [0] })
    const other = service.connect()
    const otherArena = new Arena(64 * 1024)
    other.show(otherArena.memory)
    otherArena.float32[VALUES_AT / 4] = 7
    otherArena.int32[INDICES_AT / 4] = 0
    await mail([0], [5])
    const places = { indicesAt: INDICES_AT, indexCount: 1, valuesAt: VALUES_AT, valueCount: 1 }
    await other.call('update', { name: 'user', operation: 'add', precondition: {}, places })
    expect(readTable(service.client, 'user')).toEqual([[12]])
  })
})
