import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runsOf } from '../../helpers/property-runs.ts'
import { removeTables, type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ segmentBytesMax: 2 * 65_536 })
})
afterAll(() => service.close())

const RAW = 'application/octet-stream'
const TYPES = { raw: RAW, npy: 'application/x-npy', safetensors: 'application/x-safetensors' } as const
const ROW_BYTES = {
  float32: (dim: number) => dim * 4,
  float16: (dim: number) => dim * 2,
  bfloat16: (dim: number) => dim * 2,
  int8: (dim: number) => dim + 8,
}
type Dtype = keyof typeof ROW_BYTES

const put = async (name: string, type: string, payload: Buffer, query: string): Promise<void> => {
  const url = `/v1/tables/${name}?allow_non_finite=true&durability=none&${query}`
  const answer = await service.app.inject({ method: 'PUT', url, payload, headers: { 'content-type': type } })
  expect(answer.json()).toMatchObject({ name })
}
const get = (name: string, accept: string, query = '') =>
  service.app.inject({ url: `/v1/tables/${name}/data${query}`, headers: { accept } })

/** Random bits are all kinds of numbers: a 32nd of the float16 are NaN, each with a payload of its own. */
const tables = fc.record({
  dtype: fc.constantFrom<Dtype>('float32', 'float16', 'bfloat16', 'int8'),
  rows: fc.integer({ min: 0, max: 40 }),
  dim: fc.integer({ min: 1, max: 70 }),
  seed: fc.uint8Array({ minLength: 1, maxLength: 61 }),
  hasSpecials: fc.boolean(),
})

const makeRows = (
  dtype: Dtype,
  rows: number,
  dim: number,
  seed: Uint8Array,
  hasSpecials: boolean,
): Buffer => {
  const bytes = Buffer.alloc(rows * ROW_BYTES[dtype](dim))
  bytes.forEach((_, i) => (bytes[i] = (seed[i % seed.length] * 31 + i * 7) & (hasSpecials ? 0xff : 0x3f)))
  return bytes
}

test('Whatever a download gives, an upload takes back to the bit: any format, dtype and bits', async () => {
  await fc.assert(
    fc.asyncProperty(tables, async ({ dtype, rows, dim, seed, hasSpecials }) => {
      await removeTables(service)
      const bytes = makeRows(dtype, rows, dim, seed, hasSpecials)
      const shape = `rows=${rows}&dim=${dim}`
      await put('first', RAW, bytes, `${shape}&input_dtype=${dtype === 'int8' ? 'int8_rows' : dtype}`)
      for (const [format, type] of Object.entries(TYPES)) {
        const got = await get('first', type)
        if (got.statusCode === 406) {
          expect([format, dtype]).toEqual(['npy', dtype === 'int8' ? 'int8' : 'bfloat16'])
          continue
        }
        const stated =
          format === 'raw' ? (dtype === 'int8' ? `${shape}&dtype=int8` : `${shape}&input_dtype=${dtype}`) : ''
        await put('second', type, got.rawPayload, stated)
        const again = await get('second', RAW)
        expect(again.rawPayload.equals(bytes), `${format} of ${dtype}`).toBe(true)
        expect((await get('second', type)).rawPayload.equals(got.rawPayload)).toBe(true)
      }
    }),
    { numRuns: runsOf({ quick: 25, long: 400 }) },
  )
})

const optimizers = ['sgd', 'momentum', 'adagrad', 'rowwise_adagrad', 'adam'] as const

test('Whatever a download gives with the state of an optimizer, an upload takes back to the bit', async () => {
  const trained = fc.record({
    kind: fc.constantFrom(...optimizers),
    dtype: fc.constantFrom('float32', 'float16', 'bfloat16'),
    rows: fc.integer({ min: 1, max: 20 }),
    dim: fc.integer({ min: 1, max: 20 }),
    steps: fc.array(fc.nat(1000), { maxLength: 4 }),
  })
  await fc.assert(
    fc.asyncProperty(trained, async ({ kind, dtype, rows, dim, steps }) => {
      await removeTables(service)
      const initializer = { kind: 'normal', seed: 1 }
      const payload = {
        rows,
        dim,
        dtype,
        initializer,
        optimizer: { kind, learning_rate: 0.5 },
        durability: 'none',
      }
      await service.app.inject({ method: 'PUT', url: '/v1/tables/first', payload })
      for (const step of steps) {
        const gradients = [Array.from({ length: dim }, (_, i) => Math.sin(step + i))]
        const update = { indices: [step % rows], gradients }
        await service.app.inject({ method: 'POST', url: '/v1/tables/first/gradients', payload: update })
      }
      const got = await get('first', TYPES.safetensors, '?include=optimizer')
      await put('second', TYPES.safetensors, got.rawPayload, '')
      const again = await get('second', TYPES.safetensors, '?include=optimizer')
      expect(again.rawPayload.equals(got.rawPayload)).toBe(true)
    }),
    { numRuns: runsOf({ quick: 15, long: 200 }) },
  )
})

test('The rows of a table with an adapter are downloaded without it, and uploaded as they are', async () => {
  await removeTables(service)
  const rows = Buffer.from(Float32Array.of(1, 2, 3, 4).buffer)
  await put('first', RAW, rows, 'rows=2&dim=2')
  const places =
    '{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]}}'
  const head = Buffer.alloc(8)
  head.writeBigUInt64LE(BigInt(places.length))
  const adapter = Buffer.concat([head, Buffer.from(places), Buffer.from(Float32Array.of(1, 1, 5, 5).buffer)])
  const url = '/v1/tables/first/lora?alpha=1'
  const attached = await service.app.inject({
    method: 'PUT',
    url,
    payload: adapter,
    headers: { 'content-type': TYPES.safetensors },
  })
  expect(attached.statusCode).toBe(201)
  const got = await get('first', TYPES.safetensors)
  await put('second', TYPES.safetensors, got.rawPayload, '')
  expect((await get('second', RAW)).rawPayload).toEqual(rows)
})
