import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Optimizer, Settings } from '../../../src/core/types.ts'
import { putTable, readTable, startTestWriter, type TestWriter } from '../../helpers/writer.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

const rate = { learning_rate: 0.5 }
const kinds: Optimizer[] = [
  { kind: 'sgd', ...rate },
  { kind: 'sgd', learning_rate: 0 },
  { kind: 'sgd', ...rate, constraint: { kind: 'non_negative' } },
  { kind: 'sgd', ...rate, constraint: { kind: 'unit_norm' } },
  { kind: 'momentum', ...rate, momentum: 0.9, nesterov: true },
  {
    kind: 'adagrad',
    ...rate,
    initial_accumulator: 0,
    epsilon: 1,
    epsilon_inside_sqrt: false,
    constraint: { kind: 'non_negative' },
  },
  { kind: 'rowwise_adagrad', ...rate, initial_accumulator: 1, epsilon: 1, epsilon_inside_sqrt: true },
  {
    kind: 'adam',
    ...rate,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    constraint: { kind: 'max_norm', value: 1 },
  },
]

describe.each(kinds)('A gradient that is not finite, with %o,', (optimizer) => {
  test.each([
    ['in a row of its own', [0, 1, 2], null],
    ['in one of equal rows', [1, 1, 1], null],
    ['in the padding row', [0, 1, 2], 1],
  ] as const)('%s is refused with its place and changes nothing', async (_, indices, padding) => {
    const settings: Partial<Settings> = { optimizer, padding_index: padding, durability: 'none' }
    const values = [1, 2, 3, 4, 5, 6]
    await putTable(service.client, { name: 'user', rows: 3, dim: 2, values, settings })
    for (const bad of [NaN, Infinity, -Infinity]) {
      const gradients = Float32Array.of(1, 1, 1, bad, 1, 1)
      const update = {
        name: 'user',
        operation: 'gradients' as const,
        indices: Int32Array.from(indices),
        values: gradients,
        precondition: {},
      }
      await expect(service.client.call('update', update)).rejects.toMatchObject({
        code: 'NON_FINITE',
        errors: [{ pointer: '/gradients/1/1' }],
      })
    }
    expect(readTable(service.client, 'user').flat()).toEqual(values)
    expect(service.client.registry.find('user').current.readSequence()).toBe(0)
  })
})

test.each(['set', 'add'] as const)(
  'A value that is not finite is refused by %s, even when a later value replaces it',
  async (operation) => {
    await putTable(service.client, { name: 'user', rows: 3, dim: 1, values: [1, 2, 3] })
    const update = {
      name: 'user',
      operation,
      indices: Int32Array.of(1, 1),
      values: Float32Array.of(NaN, 1),
      precondition: {},
      shape: [2, 1],
    }
    await expect(service.client.call('update', update)).rejects.toMatchObject({
      code: 'NON_FINITE',
      errors: [{ pointer: '/values/0/0/0' }],
    })
  },
)

test('A finite gradient whose step is not finite is refused with the place of its row', async () => {
  const settings: Partial<Settings> = { optimizer: { kind: 'sgd', learning_rate: 1e30 } }
  await putTable(service.client, { name: 'user', rows: 3, dim: 1, values: [1, 2, 3], settings })
  const update = {
    name: 'user',
    operation: 'gradients' as const,
    indices: Int32Array.of(2),
    values: Float32Array.of(1e30),
    precondition: {},
  }
  await expect(service.client.call('update', update)).rejects.toMatchObject({
    code: 'NON_FINITE',
    message: expect.stringContaining('row 2'),
  })
})
