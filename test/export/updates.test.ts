import { MessageChannel, Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { ExportWriter } from '../../src/export/export.ts'
import { WriterClient } from '../../src/writer/client.ts'
import { makeDataDir } from '../helpers/data-dir.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { asFloats, exportUser, putUser, readBody } from './user-table.ts'
import { runsOf } from '../helpers/property-runs.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

const update = (operation: 'set' | 'add', indices: number[], values: number[]) =>
  service.client.call('update', {
    name: 'user',
    operation,
    indices: Int32Array.from(indices),
    values: Float32Array.from(values),
    precondition: {},
  })

/**
 * A connection that hides the pre-images of overwritten rows, which shows what an export would be without
 * them.
 */
const forgetful = (client: WriterClient): ExportWriter => ({
  call: async (procedure, argument) => {
    const answer = await client.call(procedure, argument)
    return procedure === 'readPreImages'
      ? ({ rows: new Int32Array(0), bytes: new Uint8Array(0) } as typeof answer)
      : answer
  },
})

describe('While updates run, an export', () => {
  const [rows, dim] = [16, 65_536]
  const original = Float32Array.from({ length: rows * dim }, (_, i) => Math.floor(i / dim))
  /** A chunk holds four rows of this table. */
  const firstOf = (bytes: Buffer) =>
    Array.from({ length: rows }, (_, row) => bytes.readFloatLE(row * dim * 4))

  test('is the table at its sequence, whichever rows change and whenever they do', async () => {
    const changes = fc.array(
      fc.record({ chunk: fc.nat(4), indices: fc.array(fc.nat(rows - 1), { minLength: 1, maxLength: 3 }) }),
      {
        maxLength: 6,
      },
    )
    await fc.assert(
      fc.asyncProperty(changes, async (updates) => {
        await putUser(service.client, rows, dim, 'float32', original)
        const apply = async (chunk: number) => {
          for (const { indices } of updates.filter((one) => one.chunk === chunk)) {
            await update(
              'add',
              indices,
              Array.from({ length: indices.length * dim }, () => 100),
            )
          }
        }
        const exported = await exportUser(service.client, 'raw')
        const chunks: Buffer[] = []
        await apply(0)
        for await (const chunk of exported.body) {
          chunks.push(chunk)
          await apply(chunks.length)
        }
        expect(exported.sequence).toBe(0)
        expect(firstOf(Buffer.concat(chunks))).toEqual(firstOf(Buffer.from(original.buffer)))
      }),
      { numRuns: runsOf({ quick: 3, long: 15 }) },
    )
  })

  test('contains all earlier updates', async () => {
    await putUser(service.client, rows, dim, 'float32', original)
    await update(
      'set',
      [3],
      Array.from({ length: dim }, () => -1),
    )
    const exported = await exportUser(service.client, 'raw')
    await update(
      'set',
      [3, 15],
      Array.from({ length: 2 * dim }, () => -2),
    )
    expect(exported.sequence).toBe(1)
    expect(firstOf(await readBody(exported.body))).toEqual([
      0, 1, 2, -1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
    ])
    expect((await exportUser(service.client, 'raw')).sequence).toBe(2)
  })

  test('would mix sequences without the pre-images of the writer', async () => {
    await putUser(service.client, rows, dim, 'float32', original)
    const exported = await exportUser(service.client, 'raw', forgetful(service.client))
    await update(
      'set',
      [15],
      Array.from({ length: dim }, () => -2),
    )
    expect(firstOf(await readBody(exported.body))[15]).toBe(-2)
  })

  /** The control ends at the first export that mixes. */
  const ROUNDS = { sequence: runsOf({ quick: 1, long: 6 }), control: 6 }
  test.each([
    ['is one sequence', false],
    ['mixes sequences without pre-images (control)', true],
  ])('from another thread %s', async (_, isForgetful) => {
    const { port1, port2 } = new MessageChannel()
    const own = makeDataDir()
    const worker = new Worker(new URL('./writer-thread.ts', import.meta.url), {
      workerData: { port: port1, dataDir: own.dataDir },
      transferList: [port1],
    })
    const client = new WriterClient(port2)
    try {
      // The thread begins to load when it starts; a table is refused as NOT_READY before that.
      await client.call('sync', null)
      const [count, width] = [2048, 1024]
      await putUser(client, count, width, 'float32', new Float32Array(count * width))
      const all = Int32Array.from({ length: count }, (__, row) => row)
      const ones = new Float32Array(count * width).fill(1)
      let mixedCount = 0
      const rounds = isForgetful ? ROUNDS.control : ROUNDS.sequence
      for (let round = 0; round < rounds && mixedCount === 0; round++) {
        const pending = Array.from({ length: 4 }, () =>
          client.call('update', {
            name: 'user',
            operation: 'add',
            indices: all,
            values: ones,
            precondition: {},
          }),
        )
        const exported = await exportUser(client, 'raw', isForgetful ? forgetful(client) : client)
        const late = client.call('update', {
          name: 'user',
          operation: 'add',
          indices: all,
          values: ones,
          precondition: {},
        })
        const values = asFloats(await readBody(exported.body))
        if (values.some((value) => value !== exported.sequence)) mixedCount += 1
        await Promise.all([...pending, late])
      }
      if (isForgetful) expect(mixedCount).toBeGreaterThan(0)
      else expect(mixedCount).toBe(0)
    } finally {
      client.close()
      await worker.terminate()
      own.remove()
    }
  })
})
