import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  readSafetensors,
  readSafetensorsHeader,
  writeSafetensorsHeader,
} from '../../../src/formats/safetensors.ts'
import type { ElementType } from '../../../src/core/types.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const SAFETENSORS = 'application/x-safetensors'
const ROWS = [
  [1, 2, 3],
  [4, 5, 6],
  [7, 8, 9],
]
const send = (
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH',
  url: string,
  payload?: object,
  headers = {},
) => service.app.inject({ method, url: `/v1/tables/${url}`, payload, headers })
const create = (name: string, optimizer: object, dtype = 'float32') =>
  send('PUT', name, { values: ROWS, dtype, optimizer })
const step = (name: string, indices: number[], gradient: number) =>
  send('POST', `${name}/gradients`, {
    indices,
    gradients: indices.map((_, i) => [gradient, gradient + i, -gradient]),
  })
const download = (name: string, headers = {}) =>
  send('GET', `${name}/data?include=optimizer`, undefined, headers)
const upload = (url: string, body: Uint8Array) =>
  send('PUT', url, Buffer.from(body), { 'content-type': SAFETENSORS })

const readNumbers = (elementType: ElementType, data: Uint8Array): number | number[] => {
  const { buffer } = new Uint8Array(data)
  if (elementType === 'int64') return Number(new BigInt64Array(buffer)[0])
  return Array.from(elementType === 'float16' ? new Float16Array(buffer) : new Float32Array(buffer))
}
/** The element type, shape and numbers of every array of a body, by name. */
const describeBody = (body: Uint8Array) =>
  Object.fromEntries(
    [...readSafetensors(body)].map(([name, { elementType, shape, data }]) => [
      name,
      [elementType, shape, readNumbers(elementType, data)],
    ]),
  )
const f = Math.fround

describe('Optimizer state is exported', () => {
  test('for adagrad as the accumulator of each number, initial where there was no gradient', async () => {
    await create('t', { kind: 'adagrad', learning_rate: 1, initial_accumulator: 0.5 })
    expect(describeBody((await download('t')).rawPayload)).toMatchObject({
      'optimizer/accumulator': ['float32', [3, 3], Array.from({ length: 9 }, () => 0.5)],
      embeddings: ['float32', [3, 3], ROWS.flat()],
    })
    await step('t', [1], 2)
    const answer = await download('t')
    expect(answer.headers).toMatchObject({
      'content-type': SAFETENSORS,
      etag: '"1-1.safetensors+0"',
      'x-table-sequence': '1',
      'x-shape': '3,3',
    })
    expect(answer.rawPayload).toHaveLength(Number(answer.headers['content-length']))
    expect(describeBody(answer.rawPayload)['optimizer/accumulator']).toEqual([
      'float32',
      [3, 3],
      [0.5, 0.5, 0.5, 4.5, 4.5, 4.5, 0.5, 0.5, 0.5],
    ])
  })

  test('for rowwise_adagrad as one number for each row', async () => {
    await create('t', { kind: 'rowwise_adagrad', initial_accumulator: 1 })
    await step('t', [2, 0], 3)
    const { metadata } = readSafetensorsHeader((await download('t')).rawPayload, null)
    expect(describeBody((await download('t')).rawPayload)).toMatchObject({
      'optimizer/accumulator': ['float32', [3], [f(1 + f(f(9 + 16 + 9) / 3)), 1, 10]],
    })
    expect(JSON.parse(metadata.get('optimizer') ?? '')).toEqual({
      kind: 'rowwise_adagrad',
      learning_rate: 0.01,
      initial_accumulator: 1,
      epsilon: 1e-8,
      epsilon_inside_sqrt: false,
    })
  })

  test('for momentum, and for adam with its step count', async () => {
    await create('m', { kind: 'momentum', momentum: 0.5 })
    await step('m', [0], 2)
    await step('m', [0], 2)
    expect(describeBody((await download('m')).rawPayload)['optimizer/momentum']).toEqual([
      'float32',
      [3, 3],
      [3, 3, -3, 0, 0, 0, 0, 0, 0],
    ])
    await create('a', { kind: 'adam', beta1: 0.5, beta2: 0.75 }, 'float16')
    await step('a', [0, 1], 2)
    await step('a', [1], 4)
    const { embeddings, ...state } = describeBody((await download('a')).rawPayload)
    expect(embeddings.slice(0, 2)).toEqual(['float16', [3, 3]])
    expect(state).toEqual({
      'optimizer/step': ['int64', [], 2],
      'optimizer/m': ['float32', [3, 3], [1, 1, -1, 2.5, 2.75, -2.5, 0, 0, 0]],
      'optimizer/v': ['float32', [3, 3], [1, 1, 1, 4.75, 5.6875, 4.75, 0, 0, 0]],
    })
  })

  test('as the settings alone for sgd and for int8 tables, which have no state', async () => {
    await create('s', { kind: 'sgd', learning_rate: 0.5 })
    const { tensors, metadata } = readSafetensorsHeader((await download('s')).rawPayload, null)
    expect([...tensors.keys()]).toEqual(['embeddings'])
    expect(metadata.get('optimizer')).toBe('{"kind":"sgd","learning_rate":0.5}')
    await create('q', { kind: 'adam' }, 'int8')
    expect([...readSafetensors((await download('q')).rawPayload).keys()]).toEqual([
      'scale',
      'bias',
      'embeddings',
    ])
  })

  test('only in safetensors, and only on request', async () => {
    await create('t', { kind: 'adagrad' })
    expect([
      ...readSafetensors((await send('GET', 't/data', undefined, { accept: SAFETENSORS })).rawPayload).keys(),
    ]).toEqual(['embeddings'])
    for (const accept of ['application/x-npy', 'application/octet-stream', 'application/json']) {
      expect((await download('t', { accept })).json()).toMatchObject({ status: 406, code: 'NOT_ACCEPTABLE' })
    }
    expect((await download('t', { accept: 'application/x-npy, */*;q=0.1' })).headers['content-type']).toBe(
      SAFETENSORS,
    )
    expect((await send('GET', 't/data?include=everything')).json()).toMatchObject({
      status: 400,
      code: 'INVALID_REQUEST',
    })
  })

  test('with the same headers for HEAD', async () => {
    await create('t', { kind: 'adam' })
    await step('t', [0], 1)
    const whole = await download('t')
    const head = await send('HEAD', 't/data?include=optimizer')
    expect(head.body).toBe('')
    expect({ ...head.headers, date: '' }).toEqual({ ...whole.headers, date: '' })
  })
})

describe('Training continues from uploaded optimizer state', () => {
  const OPTIMIZERS = [
    { kind: 'momentum', learning_rate: 0.1, momentum: 0.9, nesterov: true },
    { kind: 'adagrad', learning_rate: 0.1, initial_accumulator: 0.25 },
    { kind: 'rowwise_adagrad', learning_rate: 0.1, initial_accumulator: 0.25 },
    { kind: 'adam', learning_rate: 0.1 },
  ]

  test.each(OPTIMIZERS)('of $kind in a copy exactly as in the original', async (optimizer) => {
    for (const dtype of ['float32', 'bfloat16']) {
      await create('t', optimizer, dtype)
      await step('t', [0, 2], 1.5)
      await step('t', [2], -0.75)
      const exported = (await download('t')).rawPayload
      // A new table gets the optimizer that the body names.
      expect((await upload('copy', exported)).json()).toMatchObject({ dtype, optimizer, sequence: 0 })
      expect((await download('copy')).rawPayload).toEqual(exported)
      for (const name of ['t', 'copy']) await step(name, [1, 2], 0.5)
      expect((await download('copy')).rawPayload).toEqual((await download('t')).rawPayload)
      await service.app.inject({ method: 'DELETE', url: '/v1/tables/copy' })
    }
  })

  test('but starts anew when the body has rows alone', async () => {
    await create('t', { kind: 'adagrad', learning_rate: 1, initial_accumulator: 0.5 })
    await step('t', [0], 2)
    await upload('t', (await send('GET', 't/data', undefined, { accept: SAFETENSORS })).rawPayload)
    expect(describeBody((await download('t')).rawPayload)['optimizer/accumulator']).toEqual([
      'float32',
      [3, 3],
      Array.from({ length: 9 }, () => 0.5),
    ])
  })

  test('with the settings of the query or of the table rather than those of the body', async () => {
    await create('t', { kind: 'adagrad', learning_rate: 1 })
    await step('t', [0], 2)
    const exported = (await download('t')).rawPayload
    await create('other', { kind: 'adagrad', learning_rate: 0.125 })
    expect((await upload('other', exported)).json()).toMatchObject({
      version: 2,
      optimizer: { kind: 'adagrad', learning_rate: 0.125 },
    })
    const query = `?optimizer=${encodeURIComponent('{"kind":"adagrad","learning_rate":0.25}')}`
    expect((await upload(`other${query}`, exported)).json()).toMatchObject({
      optimizer: { learning_rate: 0.25 },
    })
    expect((await upload(`third${query}`, exported)).json()).toMatchObject({
      optimizer: { learning_rate: 0.25 },
    })
  })
})

describe('Optimizer state is refused', () => {
  type Tensor = { name: string; elementType: ElementType; shape: number[]; bytes: Uint8Array }
  const numbers = (name: string, shape: number[], fill = 1): Tensor => {
    const count = shape.reduce((product, size) => product * size, 1)
    const bytes = new Uint8Array(new Float32Array(count).fill(fill).buffer)
    return { name, elementType: 'float32', shape, bytes }
  }
  const stepOf = (value: bigint, shape: number[] = [], elementType: ElementType = 'int64'): Tensor => ({
    name: 'optimizer/step',
    elementType,
    shape,
    bytes: new Uint8Array(BigInt64Array.of(value).buffer),
  })
  const bodyOf = (tensors: Tensor[], metadata?: Record<string, string>): Uint8Array =>
    Buffer.concat([
      writeSafetensorsHeader(tensors, metadata && new Map(Object.entries(metadata))).header,
      ...tensors.map(({ bytes }) => bytes),
    ])
  const rows = numbers('embeddings', [2, 3])
  const [m, v] = [numbers('optimizer/m', [2, 3]), numbers('optimizer/v', [2, 3])]
  const NO_COUNT = /count of gradient steps/

  test.each([
    [
      'of another optimizer',
      'momentum',
      [m, v, stepOf(1n), rows],
      400,
      'INVALID_REQUEST',
      /"optimizer\/momentum"; the body has "optimizer\/m"/,
    ],
    ['of sgd', 'sgd', [m, rows], 400, 'INVALID_REQUEST', /sgd, which has none/],
    ['that lacks an array', 'adam', [stepOf(1n), m, rows], 400, 'INVALID_REQUEST', /"optimizer\/v"/],
    [
      'that has an unknown array',
      'adam',
      [stepOf(1n), m, v, numbers('optimizer/x', [2, 3]), rows],
      400,
      'INVALID_REQUEST',
      /"optimizer\/x"/,
    ],
    [
      'of another shape',
      'adam',
      [stepOf(1n), m, numbers('optimizer/v', [3, 2]), rows],
      422,
      'SHAPE_MISMATCH',
      /\[2,3\], it has \[3,2\]/,
    ],
    [
      'of one number per element instead of per row',
      'rowwise_adagrad',
      [numbers('optimizer/accumulator', [2, 3]), rows],
      422,
      'SHAPE_MISMATCH',
      /shape \[2\]/,
    ],
    [
      'of another dtype',
      'adam',
      [stepOf(1n), { ...m, elementType: 'int32' as const }, v, rows],
      422,
      'DTYPE_MISMATCH',
      /float32, it is int32/,
    ],
    [
      'with a step of no numbers',
      'adam',
      [{ ...stepOf(1n, [0]), bytes: new Uint8Array(0) }, m, v, rows],
      422,
      'SHAPE_MISMATCH',
      /step/,
    ],
    [
      'with a step of another dtype',
      'adam',
      [stepOf(1n, [], 'float64'), m, v, rows],
      422,
      'DTYPE_MISMATCH',
      /int64, it is float64/,
    ],
    ['with a step below zero', 'adam', [stepOf(-1n), m, v, rows], 400, 'INVALID_REQUEST', NO_COUNT],
    ['with a step of 2^53', 'adam', [stepOf(2n ** 53n), m, v, rows], 400, 'INVALID_REQUEST', NO_COUNT],
    [
      'that is not finite',
      'adam',
      [stepOf(1n), m, numbers('optimizer/v', [2, 3], Infinity), rows],
      422,
      'NON_FINITE',
      /v is not finite at row 0/,
    ],
  ] as const)('%s', async (_what, kind, tensors, status, code, detail) => {
    const { reservedBytes } = service.writer.memory
    const answer = await upload(`t?optimizer=${kind}`, bodyOf([...tensors]))
    expect(answer.json()).toMatchObject({ status, code })
    expect(answer.json().detail).toMatch(detail)
    expect((await send('GET', 't')).statusCode).toBe(404)
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })

  test('for an int8 table, which cannot be trained', async () => {
    const body = bodyOf([stepOf(1n), m, v, rows])
    expect((await upload('t?optimizer=adam&dtype=int8', body)).json()).toMatchObject({
      status: 422,
      code: 'DTYPE_MISMATCH',
    })
    expect((await upload('t?optimizer=adam', body)).statusCode).toBe(201)
  })

  test('when the optimizer is not named, or its name cannot be parsed', async () => {
    const tensors = [stepOf(1n), m, v, rows]
    expect((await upload('t', bodyOf(tensors))).json()).toMatchObject({
      code: 'INVALID_REQUEST',
      detail: expect.stringContaining('?optimizer='),
    })
    for (const optimizer of ['{', 'adamant', '{"kind":"adam","beta1":"0.9"}']) {
      expect((await upload('t', bodyOf(tensors, { optimizer }))).json()).toMatchObject({
        code: 'INVALID_REQUEST',
      })
    }
    expect((await upload('t', bodyOf(tensors, { optimizer: 'adam' }))).json()).toMatchObject({
      optimizer: { kind: 'adam', beta1: 0.9 },
    })
  })

  test('but not when one of its arrays is chosen as the table', async () => {
    expect((await upload('t?tensor=optimizer/m', bodyOf([m, v, rows]))).json()).toMatchObject({
      rows: 2,
      dim: 3,
      optimizer: { kind: 'sgd' },
    })
  })

  test('with numbers that are not finite, unless those are allowed', async () => {
    const body = bodyOf([numbers('optimizer/accumulator', [2, 3], Infinity), rows])
    expect((await upload('t?optimizer=adagrad&allow_non_finite=true', body)).statusCode).toBe(201)
  })
})

describe('A PATCH of the optimizer', () => {
  const stateOf = async (name: string) => describeBody((await download(name)).rawPayload)

  test('to the same kind keeps the state', async () => {
    await create('t', { kind: 'adam', beta1: 0.5, beta2: 0.75 })
    await step('t', [0], 2)
    const before = await stateOf('t')
    await send('PATCH', 't', { optimizer: { kind: 'adam', learning_rate: 0.5, beta1: 0.5, beta2: 0.75 } })
    expect(await stateOf('t')).toEqual(before)
    await step('t', [0], 2)
    expect(await stateOf('t')).toMatchObject({
      'optimizer/step': ['int64', [], 2],
      'optimizer/m': ['float32', [3, 3], [1.5, 1.5, -1.5, 0, 0, 0, 0, 0, 0]],
    })
  })

  test('to another kind resets the state and the step count', async () => {
    const adam = { kind: 'adam', learning_rate: 0.125 }
    await create('t', { kind: 'sgd', learning_rate: 0 })
    await step('t', [0], 2)
    await step('t', [0], 2)
    await send('PATCH', 't', { optimizer: adam })
    await create('fresh', adam)
    for (const name of ['t', 'fresh']) await step(name, [0, 1], 3)
    expect(await stateOf('t')).toEqual(await stateOf('fresh'))
    await send('PATCH', 't', { optimizer: { kind: 'adagrad', initial_accumulator: 7 } })
    const sevens = Array.from({ length: 9 }, () => 7)
    expect((await stateOf('t'))['optimizer/accumulator']).toEqual(['float32', [3, 3], sevens])
    await send('PATCH', 't', { optimizer: adam })
    expect(await stateOf('t')).toMatchObject({
      'optimizer/step': ['int64', [], 0],
      'optimizer/m': ['float32', [3, 3], Array.from({ length: 9 }, () => 0)],
    })
  })
})

test('An update that would make the state of a row infinite is refused without a change', async () => {
  await create('t', { kind: 'adagrad', learning_rate: 1 })
  await step('t', [0], 1)
  const before = (await download('t')).rawPayload
  const gradients = [1, 1e30].map((first) => [first, 1, 1])
  const answer = await send('POST', 't/gradients', { indices: [1, 2], gradients })
  expect(answer.json()).toMatchObject({
    status: 422,
    code: 'NON_FINITE',
    detail: expect.stringContaining('state of row 2'),
  })
  expect((await download('t')).rawPayload).toEqual(before)
})
