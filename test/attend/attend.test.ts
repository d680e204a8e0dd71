import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { attend } from '../../src/attend/attend.ts'
import type { AttendOptions } from '../../src/attend/plan.ts'
import { GatherdError } from '../../src/core/errors.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { scoreReference, topReference } from '../../src/kernels/reference/attend.ts'
import { createLookupServices, type LookupServices } from '../../src/lookup/lookup.ts'
import { ComputePool } from '../../src/workers/pool.ts'
import { putTable, startTestWriter, type TestWriter } from '../helpers/writer.ts'

const ROWS = 60_000
const DIM = 48
/** The values repeat, so that many scores are equal and ties are decided by the index. */
const values = new Float32Array(ROWS * DIM)
for (let i = 0; i < values.length; i++) values[i] = ((Math.imul(i, 2_654_435_761) >>> 20) % 7) - 3

let service: TestWriter
let pool: ComputePool
let threads: LookupServices
let alone: LookupServices
beforeAll(async () => {
  service = await startTestWriter({ segmentBytesMax: 64 * 65_536 })
  pool = new ComputePool(2, 16)
  threads = createLookupServices(pool)
  alone = createLookupServices(null)
  const settings = { padding_index: 0 }
  await putTable(service.client, { name: 'words', rows: ROWS, dim: DIM, values, settings })
})
afterAll(async () => {
  await service.close()
  await pool.close()
})

const queries = (count: number): Float32Array =>
  Float32Array.from({ length: count * DIM }, (_, i) => (i % 5) - 2)

const ask = async (
  services: LookupServices,
  count: number,
  options: AttendOptions,
  checkWanted = () => {},
): Promise<Buffer> => {
  const entry = service.client.registry.find('words')
  const request = { queries: queries(count), shape: [count, DIM], options }
  const { body } = await attend(services, entry, entry.current, request, 'safetensors', checkWanted)
  const bytes = Buffer.from(body.bytes)
  body.release()
  return bytes
}

const read = (bytes: Buffer) => {
  const tensors = readSafetensors(bytes)
  const { data: indices } = tensors.get('indices') ?? expect.unreachable()
  const { data: scores, shape } = tensors.get('scores') ?? expect.unreachable()
  return {
    shape,
    indices: Array.from(new BigInt64Array(indices.slice().buffer), Number),
    scores: Array.from(new Float32Array(scores.slice().buffer)),
  }
}

describe('Attend queries on a table of several segments', () => {
  test.each(['dot', 'cosine', 'l2'] as const)(
    'find the rows that the reference finds by %s, and give ties to the lower index',
    async (metric) => {
      const { shape, indices, scores } = read(await ask(alone, 3, { top_k: 20, metric }))
      expect(shape).toEqual([3, 20])
      for (let q = 0; q < 3; q++) {
        const query = queries(3).slice(q * DIM, (q + 1) * DIM)
        const length = Math.hypot(...query)
        const prepared = metric === 'cosine' ? query.map((value) => value / length) : query
        const all = Float32Array.from({ length: ROWS }, (_, row) =>
          scoreReference(metric, prepared, values.subarray(row * DIM, (row + 1) * DIM)),
        )
        const expected = topReference(metric, all, 20, 0)
        expect(indices.slice(q * 20, (q + 1) * 20)).toEqual(expected.indices)
        expect(scores.slice(q * 20, (q + 1) * 20)).toEqual(expected.scores)
      }
    },
  )

  test('get the same bytes from one thread and from several, for every query count and k', async () => {
    for (const [count, options] of [
      [1, { top_k: 10 }],
      [60, { top_k: 10, metric: 'l2' }],
      [60, { top_k: 3000, metric: 'cosine' }],
      [1, { top_k: ROWS }],
      [60, {}],
    ] as const) {
      const one = await ask(alone, count, options)
      const many = await ask(threads, count, options)
      expect(Buffer.compare(one, many), `${count} ${JSON.stringify(options)}`).toBe(0)
    }
  })

  test('release all arena memory, whether they are answered or refused', async () => {
    const before = threads.arena.reservedBytes
    await ask(threads, 60, { top_k: 10 })
    const giveUp = () => {
      throw new GatherdError('DEADLINE_EXCEEDED', 'too late')
    }
    await expect(ask(threads, 60, { top_k: 10 }, giveUp)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    await expect(ask(threads, 60, { top_k: 2 ** 20, metric: 'dot' })).resolves.toBeInstanceOf(Buffer)
    expect(threads.arena.reservedBytes).toBe(before)
  })

  // This is the last test, because it removes the table.
  test('pin their version until they are answered', async () => {
    const pending = ask(threads, 60, { top_k: 10 })
    await service.client.call('remove', { name: 'words', precondition: {} })
    expect(read(await pending).shape).toEqual([60, 10])
    await expect.poll(() => service.writer.memory.reservedBytes).toBe(0)
  })
})
