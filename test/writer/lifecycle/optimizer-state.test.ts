import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Optimizer } from '../../../src/core/types.ts'
import { ROWS_AT } from '../../../src/layout/table-layout.ts'
import { putTable, readTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

const sgd: Optimizer = { kind: 'sgd', learning_rate: 1 }
const momentum: Optimizer = { kind: 'momentum', learning_rate: 1, momentum: 0.5, nesterov: false }
const adam: Optimizer = { kind: 'adam', learning_rate: 1, beta1: 0.5, beta2: 0.5, epsilon: 0 }
const step = (indices: number[], values: number[]) =>
  service.client.call('update', {
    name: 'user',
    operation: 'gradients',
    indices: Int32Array.from(indices),
    values: Float32Array.from(values),
    precondition: {},
  })
const patch = (optimizer: Optimizer) =>
  service.client.call('patch', { name: 'user', settings: { optimizer }, precondition: {} })
const begin = (optimizer: Optimizer, stateKind: 'momentum' | 'adam') =>
  service.client.call('beginBuild', {
    name: 'user',
    rows: 2,
    dim: 1,
    dtype: 'float32',
    settings: { optimizer },
    precondition: {},
    stateKind,
  })

describe('Optimizer state that is uploaded with the rows', () => {
  test('continues the training, including the count of steps', async () => {
    const { buildId, state } = await begin(adam, 'adam')
    new Float32Array(state?.[0].memory.buffer ?? new ArrayBuffer(0), ROWS_AT, 4).set([4, 9, 0, 1])
    await service.client.call('commitBuild', { buildId, step: 1 })
    await step([0, 1], [0, 0])
    // This is the second step: m and v halve, and its size is sqrt(1 - 1/4) / (1 - 1/4).
    const size = Math.fround(Math.sqrt(0.75) / 0.75)
    expect(readTable(service.client, 'user')).toEqual([
      [-Math.fround(Math.fround(size * 2) / Math.fround(Math.sqrt(4.5)))],
      [0],
    ])
  })

  test('counts towards the quota, and is released with an aborted build', async () => {
    const { buildId } = await begin(adam, 'adam')
    const reserved = service.writer.memory.reservedBytes
    await service.client.call('abortBuild', { buildId })
    expect([reserved, service.writer.memory.reservedBytes]).toEqual([131_072, 0])
    const other = service.connect()
    const settings = { optimizer: adam }
    await other.call('beginBuild', {
      name: 'user',
      rows: 2,
      dim: 1,
      dtype: 'float32',
      settings,
      precondition: {},
      stateKind: 'adam',
    })
    other.close()
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(0)
  })

  test('is released with its table', async () => {
    const { buildId } = await begin(adam, 'adam')
    await service.client.call('commitBuild', { buildId })
    await service.client.call('remove', { name: 'user', precondition: {} })
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(0)
  })

  test('is refused when the optimizer was changed before the upload or during it', async () => {
    await putTable(service.client, { name: 'user', rows: 2, dim: 1, settings: { optimizer: momentum } })
    const bring = () =>
      service.client.call('beginBuild', {
        name: 'user',
        rows: 2,
        dim: 1,
        dtype: 'float32',
        settings: {},
        precondition: {},
        stateKind: 'momentum',
      })
    const { buildId } = await bring()
    await patch(sgd)
    await expect(service.client.call('commitBuild', { buildId, step: 1 })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    await expect(bring()).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
    await service.client.call('abortBuild', { buildId })
    await patch(momentum)
    const again = await bring()
    await expect(service.client.call('commitBuild', { buildId: again.buildId })).resolves.toMatchObject({
      version: 2,
    })
  })
})

test('A replacement with another kind of optimizer drops the state of the earlier versions', async () => {
  await putTable(service.client, { name: 'user', rows: 2, dim: 1, settings: { optimizer: momentum } })
  const one = service.writer.memory.reservedBytes
  await step([0], [1])
  expect(service.writer.memory.reservedBytes).toBe(2 * one)
  await putTable(service.client, { name: 'user', rows: 2, dim: 1 })
  expect(service.writer.memory.reservedBytes).toBe(3 * one)
  await putTable(service.client, {
    name: 'user',
    rows: 2,
    dim: 1,
    settings: { optimizer: adam, keep_versions: 3 },
  })
  expect(service.writer.memory.reservedBytes).toBe(3 * one)
})

test('An update that would make the state infinite or NaN is refused and changes nothing', async () => {
  const adagrad: Optimizer = {
    kind: 'adagrad',
    learning_rate: 1,
    initial_accumulator: 0,
    epsilon: 1,
    epsilon_inside_sqrt: false,
  }
  await putTable(service.client, { name: 'user', rows: 3000, dim: 2, settings: { optimizer: adagrad } })
  const indices = Array.from({ length: 3000 }, (_, row) => row)
  const values = indices.flatMap((row) => [1, row === 2900 ? 1e20 : 1])
  await expect(step(indices, values)).rejects.toMatchObject({
    code: 'NON_FINITE',
    message: 'the adagrad state of row 2900 would no longer be finite',
  })
  expect(
    readTable(service.client, 'user')
      .flat()
      .every((value) => value === 0),
  ).toBe(true)
  expect(service.client.registry.find('user').current.readSequence()).toBe(0)
  await step([2900], [1, 1])
  expect(readTable(service.client, 'user')[2900]).toEqual([-0.5, -0.5])
})
