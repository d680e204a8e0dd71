import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Dtype } from '../../src/core/types.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import type { Encoding } from '../../src/lookup/encode.ts'
import { createLookupServices, lookup, type LookupServices } from '../../src/lookup/lookup.ts'
import type { LookupRequest } from '../../src/lookup/request.ts'
import { STRIPES_AT, LOCK_AT } from '../../src/layout/table-layout.ts'
import { ComputePool } from '../../src/workers/pool.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

const ROWS = 1000
const DIM = 64
const value = (row: number, k: number): number => row + k / 64

let service: TestWriter
let services: LookupServices
beforeEach(async () => {
  service = await startTestWriter({ segmentBytesMax: 65_536 })
  services = createLookupServices(null)
  await putTable(service.client, {
    name: 'words',
    rows: ROWS,
    dim: DIM,
    values: Float32Array.from({ length: ROWS * DIM }, (_, i) => value(Math.floor(i / DIM), i % DIM)),
  })
})
afterEach(() => service.close())

type Ask = Omit<LookupRequest, 'shape' | 'options'> & Partial<LookupRequest>
const ask = (request: Ask, encoding: Encoding = 'raw', table = 'words') => {
  const entry = service.client.registry.find(table)
  return lookup(
    services,
    entry,
    entry.current,
    { shape: [request.indices.length], options: {}, ...request },
    encoding,
  )
}
const numbers = (answer: Awaited<ReturnType<typeof ask>>): Float32Array => {
  const { bytes } = answer.body
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
}
const rowOf = (row: number) => Float32Array.from({ length: DIM }, (_, k) => value(row, k))

describe('A lookup', () => {
  test('returns rows of all segments in the order of the ids, synchronously', () => {
    const answer = ask({ indices: Int32Array.of(999, 0, 500, 0) })
    expect(answer).not.toBeInstanceOf(Promise)
    expect(answer).toMatchObject({ version: 1, sequence: 0, shape: [4, DIM], elementType: 'float32' })
    expect(numbers(answer as never)).toEqual(
      Float32Array.from([999, 0, 500, 0].flatMap((row) => [...rowOf(row)])),
    )
  })

  test('pools rows of several segments', async () => {
    const weights = { values: Float32Array.of(1, 3, 0.5), shape: [3] }
    const offsets = { values: Int32Array.of(0, 2, 2), shape: [3] }
    const answer = await ask({
      indices: Int32Array.of(999, 1, 4),
      offsets,
      weights,
      options: { pooling: 'mean' },
    })
    expect(answer.shape).toEqual([3, DIM])
    const [first, empty, last] = [0, 1, 2].map((bag) => numbers(answer).subarray(bag * DIM, (bag + 1) * DIM))
    expect(first).toEqual(Float32Array.from(rowOf(999), (number, k) => (number + 3 * value(1, k)) / 4))
    expect(empty).toEqual(new Float32Array(DIM))
    expect(last).toEqual(rowOf(4))
  })

  test('omits the padding row of the request, or else of the table, from bags', async () => {
    await service.client.call('patch', { name: 'words', settings: { padding_index: -1 }, precondition: {} })
    const firstOf = async (options: LookupRequest['options']) =>
      numbers(
        await ask({
          indices: Int32Array.of(999, 3),
          shape: [1, 2],
          options: { pooling: 'mean', ...options },
        }),
      )[0]
    expect(await firstOf({})).toBe(3)
    expect(await firstOf({ padding_index: 3 })).toBe(999)
    expect(await firstOf({ padding_index: null })).toBe(501)
    // The padding row is compared with the row that an id refers to after its mode was applied.
    const wrapped = await ask({
      indices: Int32Array.of(-1, 3),
      shape: [1, 2],
      options: { pooling: 'mean', mode: 'wrap' },
    })
    expect(numbers(wrapped)[0]).toBe(3)
  })

  test('pools the fill value for an id without a row, not for the padding row', async () => {
    const options = { pooling: 'sum' as const, mode: 'fill' as const, fill_value: 0.5, padding_index: -1 }
    const answer = numbers(await ask({ indices: Int32Array.of(5000, 3, -5000), shape: [1, 3], options }))
    expect(answer).toEqual(Float32Array.from(rowOf(3), (number) => number + 1))
  })

  test('returns a mask in the nesting of the ids of bags', async () => {
    const ragged = { shape: [3, -1], lengths: Int32Array.of(1, 0, 2) }
    const options = { pooling: 'sum' as const, mode: 'clip' as const, mask: true, padding_index: 2 }
    const request = { indices: Int32Array.of(2000, 2, 3), ...ragged, options }
    expect((await ask(request, 'json')).body.bytes.toString()).toMatch(
      /"mask":\[\[false\],\[\],\[false,true\]\]\}$/,
    )
    const tensors = readSafetensors((await ask(request, 'safetensors')).body.bytes)
    expect(tensors.get('mask')).toMatchObject({ shape: [3], data: Uint8Array.of(0, 0, 1) })
    expect(tensors.get('embeddings')?.shape).toEqual([3, DIM])
  })

  test('reports the position of a bad id in ragged lists', () => {
    const ragged = { shape: [3, -1], lengths: Int32Array.of(1, 0, 2) }
    expect(() =>
      ask({ indices: Int32Array.of(0, 0, ROWS), ...ragged, options: { pooling: 'sum' } }),
    ).toThrowError(
      expect.objectContaining({
        code: 'INDEX_OUT_OF_RANGE',
        errors: [expect.objectContaining({ pointer: '/indices/2/1' })],
      }),
    )
  })

  test.each<Dtype>(['float16', 'bfloat16'])('rounds bags once, at the end, to %s', async (dtype) => {
    const asked = {
      indices: Int32Array.of(1, 2, 3),
      shape: [1, 3],
      options: { pooling: 'mean' as const, dtype: dtype as 'float16' },
    }
    const text = (await ask(asked, 'json')).body.bytes.toString()
    const { embeddings } = JSON.parse(text) as { embeddings: number[][] }
    const mean = Math.fround(Math.fround(Math.fround(value(1, 1) + value(2, 1)) + value(3, 1)) / 3)
    const expected = dtype === 'float16' ? Math.f16round(mean) : 2.015625
    expect(embeddings[0][1]).toBe(expected)
    expect((await ask(asked)).body.bytes.length).toBe(DIM * 2)
  })

  test('releases its arena memory, also when it is refused', () => {
    const before = services.arena.reservedBytes
    ask({ indices: Int32Array.of(1, 2), shape: [1, 2], options: { pooling: 'sum' } }, 'json')
    expect(() => ask({ indices: Int32Array.of(ROWS) })).toThrow()
    expect(() => ask({ indices: Int32Array.of(ROWS), shape: [1, 1], options: { pooling: 'sum' } })).toThrow()
    expect(() => ask({ indices: Int32Array.of(0), options: { mode: 'fill', fill_value: 1e39 } })).toThrow()
    expect(services.arena.reservedBytes).toBe(before)
  })
})

describe('A large lookup', () => {
  const COUNT = 60_000
  let pool: ComputePool
  beforeEach(() => {
    pool = new ComputePool(2, 8)
    services = createLookupServices(pool)
  })
  afterEach(() => pool.close())
  const indices = Int32Array.from({ length: COUNT }, (_, i) => (i * 7) % ROWS)

  test('runs on the compute workers with the same result', async () => {
    const before = services.arena.reservedBytes
    const rows = ask({ indices })
    const bags = ask({ indices, shape: [COUNT / 20, 20], options: { pooling: 'sqrtn' } })
    expect(rows).toBeInstanceOf(Promise)
    expect(bags).toBeInstanceOf(Promise)
    const gathered = numbers(await rows)
    const pooled = numbers(await bags)
    services = { ...services, pool: null }
    expect(gathered).toEqual(numbers(await ask({ indices })))
    expect(pooled).toEqual(
      numbers(await ask({ indices, shape: [COUNT / 20, 20], options: { pooling: 'sqrtn' } })),
    )
    expect(services.arena.reservedBytes).toBe(before)
  })

  test('is refused with the code that a compute worker gives', async () => {
    const words = new Int32Array(
      service.client.registry.find('words').current.handle.segments[0].memory.buffer,
    )
    words[LOCK_AT / 4] = 1
    words[STRIPES_AT / 4 + 7] = 1
    const before = services.arena.reservedBytes
    await expect(
      ask({ indices, shape: [COUNT / 20, 20], options: { pooling: 'max' } }),
    ).rejects.toMatchObject({ code: 'OVERLOADED' })
    expect(services.arena.reservedBytes).toBe(before)
  })
})
