import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { Arena } from '../../src/tables/arena.ts'
import { planUpdate, type UpdateArrays } from '../../src/update/plan.ts'
import { codeOf, refusalOf } from '../formats/refusal.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

let service: TestWriter
const arena = new Arena(1024 * 1024)
beforeAll(async () => {
  service = await startTestWriter()
  await putTable(service.client, { name: 'user', rows: 4, dim: 2 })
  await putTable(service.client, { name: 'bytes', rows: 4, dim: 2, dtype: 'int8' })
})
afterAll(() => service.close())

const arraysOf = (indices: number[], values: number[], changes: Partial<UpdateArrays> = {}): UpdateArrays => {
  const shape = [indices.length]
  const valuesShape = [indices.length, 2]
  return {
    indices: Int32Array.from(indices),
    shape,
    values: Float32Array.from(values),
    valuesShape,
    valuesName: 'gradients',
    ...changes,
  }
}
const plan = (arrays: UpdateArrays, name = 'user') =>
  planUpdate(
    service.client.registry.find(name),
    arrays,
    { operation: 'gradients', precondition: { ifMatch: ['1-0'] }, learningRate: 0.5 },
    arena,
  )

describe('The plan of an update', () => {
  test('has row numbers and values in the arena, and everything else that the writer needs', () => {
    const { call, region } = plan(arraysOf([3, 0], [1, 2, 3, 4]))
    expect(call).toEqual({
      name: 'user',
      operation: 'gradients',
      precondition: { ifMatch: ['1-0'] },
      learningRate: 0.5,
      shape: [2],
      places: { indicesAt: region.at, indexCount: 2, valuesAt: region.at + 64, valueCount: 4 },
    })
    expect(Array.from(arena.int32.subarray(region.at / 4, region.at / 4 + 2))).toEqual([3, 0])
    const valuesAt = call.places.valuesAt / 4
    expect(Array.from(arena.float32.subarray(valuesAt, valuesAt + 4))).toEqual([1, 2, 3, 4])
    arena.release(region)
  })

  test('leaves values in place that the arena already holds', () => {
    const body = arena.reserve(16)
    const values = arena.float32.subarray(body.at / 4, body.at / 4 + 4)
    values.set([5, 6, 7, 8])
    const { call, region } = plan(arraysOf([1, 2], [], { values }))
    expect(call.places).toMatchObject({ valuesAt: body.at, valueCount: 4 })
    expect(region.bytes).toBe(64)
    arena.release(region)
    arena.release(body)
  })

  test('takes an empty update whose values state no dim', () => {
    const { call, region } = plan(arraysOf([], [], { valuesShape: [0] }))
    expect(call.places).toMatchObject({ indexCount: 0, valueCount: 0 })
    arena.release(region)
  })

  test.each<[string, string, UpdateArrays, string]>([
    ['DTYPE_MISMATCH', 'for an int8 table', arraysOf([0], [1, 2]), 'bytes'],
    [
      'SHAPE_MISMATCH',
      'for values of another dim',
      arraysOf([0], [1, 2, 3], { valuesShape: [1, 3] }),
      'user',
    ],
    ['SHAPE_MISMATCH', 'for values of another rank', arraysOf([0], [1, 2], { valuesShape: [2] }), 'user'],
    ['INDEX_OUT_OF_RANGE', 'for a row beyond the table', arraysOf([0, 4], [1, 2, 3, 4]), 'user'],
    ['INDEX_OUT_OF_RANGE', 'for a negative row', arraysOf([-1], [1, 2]), 'user'],
  ])('is refused with %s %s, and reserves nothing', (code, _why, arrays, name) => {
    expect(codeOf(() => plan(arrays, name))).toBe(code)
    expect(arena.reservedBytes).toBe(0)
  })

  test('is refused with BATCH_TOO_LARGE above the limit of rows', () => {
    const indices = new Int32Array(LIMITS.updateRowCountMax + 1)
    const arrays = arraysOf([], [], { indices, shape: [indices.length], valuesShape: [indices.length, 2] })
    expect(codeOf(() => plan(arrays))).toBe('BATCH_TOO_LARGE')
  })

  test('calls the values in an error by the name that the request gives to them', () => {
    const arrays = arraysOf([0], [1], { valuesShape: [1, 1], valuesName: 'values' })
    expect(refusalOf(() => plan(arrays)).detail).toBe(
      'values must have the shape of the indices and 2 columns, [1,2]; they have [1,1]',
    )
  })
})
