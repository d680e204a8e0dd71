import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Optimizer } from '../../src/core/types.ts'
import { exportTable } from '../../src/export/export.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { asFloats, readBody } from './user-table.ts'
import { runsOf } from '../helpers/property-runs.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

const adam: Optimizer = { kind: 'adam', learning_rate: 0, beta1: 0.5, beta2: 0.75, epsilon: 1 }
const adagrad: Optimizer = {
  kind: 'adagrad',
  learning_rate: 0,
  initial_accumulator: 2,
  epsilon: 1,
  epsilon_inside_sqrt: false,
}
const rowwise: Optimizer = { ...adagrad, kind: 'rowwise_adagrad' }

/** Pushes a gradient of one number to each of the rows, which have one column. */
const step = (indices: number[], gradient: number) => {
  const { dim } = service.client.registry.find('user').current.handle
  const values = new Float32Array(indices.length * dim).fill(gradient)
  return service.client.call('update', {
    name: 'user',
    operation: 'gradients',
    indices: Int32Array.from(indices),
    values,
    precondition: {},
  })
}
const patch = (optimizer: Optimizer) =>
  service.client.call('patch', { name: 'user', settings: { optimizer }, precondition: {} })
const begin = () =>
  exportTable(service.client, 'user', service.client.registry.find('user').current, 'safetensors', true)
/** The first number of each row of every array. */
const firstOf = (body: Uint8Array): Record<string, number[]> =>
  Object.fromEntries(
    [...readSafetensors(body)]
      .filter(([, { elementType }]) => elementType === 'float32')
      .map(([name, { data, shape }]) => {
        const numbers = asFloats(data)
        return [name, Array.from({ length: shape[0] }, (_, row) => numbers[row * (shape[1] ?? 1)])]
      }),
  )

describe('While gradients are applied, an export of state', () => {
  // A chunk holds the adam state of two rows.
  const [rows, dim] = [6, 65_536]

  test.each([adam, adagrad, rowwise])(
    'of $kind is the state and the rows at its sequence',
    async (optimizer) => {
      const changes = fc.array(
        fc.record({
          chunk: fc.nat(6),
          indices: fc.uniqueArray(fc.nat(rows - 1), { minLength: 1, maxLength: 3 }),
          before: fc.boolean(),
        }),
        { maxLength: 6 },
      )
      await fc.assert(
        fc.asyncProperty(changes, async (updates) => {
          // The gradients change the rows too, not only their state.
          await putTable(service.client, {
            name: 'user',
            rows,
            dim,
            settings: { optimizer: { ...optimizer, learning_rate: 1 } },
          })
          for (const { indices } of updates.filter(({ before }) => before)) await step(indices, 2)
          const apply = async (chunk: number) => {
            for (const { indices } of updates.filter((one) => !one.before && one.chunk === chunk))
              await step(indices, 4)
          }
          const whole = firstOf(await readBody((await begin()).body))
          const exported = await begin()
          const chunks: Buffer[] = []
          await apply(0)
          for await (const chunk of exported.body) {
            chunks.push(chunk)
            await apply(chunks.length)
          }
          expect(firstOf(Buffer.concat(chunks))).toEqual(whole)
        }),
        { numRuns: runsOf({ quick: 4, long: 12 }) },
      )
    },
  )

  test('has the step count of its sequence', async () => {
    await putTable(service.client, { name: 'user', rows: 1, dim: 1, settings: { optimizer: adam } })
    await step([0], 1)
    const exported = await begin()
    await step([0], 1)
    const { data } =
      readSafetensors(await readBody(exported.body)).get('optimizer/step') ?? expect.unreachable()
    expect([exported.sequence, Buffer.from(data).readBigInt64LE()]).toEqual([1, 1n])
  })

  test('that begins before the first gradient is the initial state', async () => {
    await putTable(service.client, { name: 'user', rows: 3, dim: 1, settings: { optimizer: adagrad } })
    const exported = await begin()
    await step([0, 1], 1)
    expect(firstOf(await readBody(exported.body))).toMatchObject({ 'optimizer/accumulator': [2, 2, 2] })
    expect(firstOf(await readBody((await begin()).body))).toMatchObject({
      'optimizer/accumulator': [3, 3, 2],
    })
  })
})

test('State in many segments and chunks is exported in the order of the rows', async () => {
  await service.close()
  service = await startTestWriter({ segmentBytesMax: 4 * PAGE_BYTES })
  const [rows, dim] = [5000, 40]
  await putTable(service.client, { name: 'user', rows, dim, settings: { optimizer: adam } })
  const indices = Int32Array.from({ length: Math.ceil(rows / 7) }, (_, i) => i * 7)
  const values = new Float32Array(indices.length * dim)
  indices.forEach((row, i) => values.fill(row, i * dim, (i + 1) * dim))
  const update = { name: 'user', operation: 'gradients' as const, indices, values, precondition: {} }
  await service.client.call('update', update)
  const exported = await begin()
  const chunks = await Array.fromAsync(exported.body)
  expect(Buffer.concat(chunks)).toHaveLength(exported.contentLength)
  expect(chunks.length).toBeGreaterThan(5)
  expect(firstOf(Buffer.concat(chunks))).toMatchObject({
    'optimizer/m': Array.from({ length: rows }, (_, row) => (row % 7 === 0 ? row / 2 : 0)),
    'optimizer/v': Array.from({ length: rows }, (_, row) => (row % 7 === 0 ? Math.fround(row ** 2 / 4) : 0)),
  })
})

describe('State of an optimizer that has been replaced', () => {
  const sgd: Optimizer = { kind: 'sgd', learning_rate: 1 }
  const prepare = async () => {
    await putTable(service.client, { name: 'user', rows: 4, dim: 1, settings: { optimizer: adagrad } })
    const withoutState = service.writer.memory.reservedBytes
    await step([0, 1], 1)
    return { withoutState, withState: service.writer.memory.reservedBytes }
  }

  test('is delivered by exports that began before, and takes memory until the last one ends', async () => {
    const { withoutState, withState } = await prepare()
    const exports = [await begin(), await begin()]
    await patch(sgd)
    await step([0, 3], 1)
    expect(service.writer.memory.reservedBytes).toBe(withState)
    expect(firstOf(await readBody(exports[0].body))).toMatchObject({
      'optimizer/accumulator': [3, 3, 2, 2],
      embeddings: [0, 0, 0, 0],
    })
    expect(service.writer.memory.reservedBytes).toBe(withState)
    await exports[1].body.return()
    expect(service.writer.memory.reservedBytes).toBe(withoutState)
  })

  test('is not mixed with the state of the next optimizer', async () => {
    await prepare()
    const exported = await begin()
    await patch(sgd)
    await patch({ ...adagrad, initial_accumulator: 10 })
    await step([1, 2], 1)
    expect(firstOf(await readBody(exported.body))).toMatchObject({ 'optimizer/accumulator': [3, 3, 2, 2] })
    expect(firstOf(await readBody((await begin()).body))).toMatchObject({
      'optimizer/accumulator': [10, 11, 11, 10],
    })
  })

  test('is released when the HTTP worker that exports it disconnects', async () => {
    const { withoutState } = await prepare()
    const other = service.connect()
    await other.call('sync', null)
    await exportTable(other, 'user', other.registry.find('user').current, 'safetensors', true)
    await patch(sgd)
    other.close()
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(withoutState)
  })

  test('is released at once when no export reads it', async () => {
    const { withoutState } = await prepare()
    await readBody((await begin()).body)
    const exportRows = () =>
      exportTable(service.client, 'user', service.client.registry.find('user').current, 'safetensors')
    await readBody((await exportRows()).body)
    const ofRows = await exportRows()
    await patch(sgd)
    expect(service.writer.memory.reservedBytes).toBe(withoutState)
    await ofRows.body.return()
  })
})

test('State in a format of one array is refused before anything is pinned', async () => {
  await putTable(service.client, { name: 'user', rows: 1, dim: 1, settings: { optimizer: adam } })
  const withoutState = service.writer.memory.reservedBytes
  await step([0], 1)
  for (const format of ['npy', 'raw'] as const) {
    const refused = exportTable(
      service.client,
      'user',
      service.client.registry.find('user').current,
      format,
      true,
    )
    await expect(refused).rejects.toMatchObject({ code: 'NOT_ACCEPTABLE' })
  }
  await patch({ kind: 'sgd', learning_rate: 1 })
  expect(service.writer.memory.reservedBytes).toBe(withoutState)
})
