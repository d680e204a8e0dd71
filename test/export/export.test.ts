import { Readable } from 'node:stream'
import { MessageChannel, Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Dtype } from '../../src/core/types.ts'
import { type ExportLine, exportTable } from '../../src/export/export.ts'
import type { ExportFormat } from '../../src/export/plan.ts'
import { readNpy } from '../../src/formats/npy.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { KeeperClient } from '../../src/keeper/client.ts'
import { Arena } from '../../src/tables/arena.ts'
import { PAGE_BYTES } from '../../src/tables/layout.ts'
import { createTable } from '../../src/upload/create.ts'
import { startKeeper, type TestKeeper } from '../helpers/keeper.ts'

let service: TestKeeper
const arena = new Arena(8 * 1024 * 1024)
beforeEach(() => {
  service = startKeeper()
})
afterEach(() => service.close())

const create = (rows: number, dim: number, dtype: Dtype, values: Float32Array, client = service.client) =>
  createTable(client, arena, { name: 'user', rows, dim, dtype, source: { values }, settings: {}, precondition: {} })
const startExport = (format: ExportFormat, line: ExportLine = service.client, client = service.client) =>
  exportTable(line, 'user', client.registry.find('user').current, format)
const readBody = async (body: AsyncIterable<Buffer>) => Buffer.concat(await Array.fromAsync(body))
const asFloats = (bytes: Uint8Array) =>
  new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer)
const update = (operation: 'set' | 'add', indices: number[], values: number[], client = service.client) =>
  client.call('update', { name: 'user', operation, indices: Int32Array.from(indices), values: Float32Array.from(values), precondition: {} })

describe('An export', () => {
  const six = Float32Array.of(1, -2.5, 3, 4, 5, 6.5)

  test('as npy, safetensors and raw is the table in its dtype, of the announced length', async () => {
    for (const dtype of ['float32', 'float16'] as const) {
      await create(3, 2, dtype, six)
      const data = Buffer.from((dtype === 'float32' ? six : Float16Array.from(six)).buffer)
      for (const format of ['npy', 'safetensors', 'raw'] as const) {
        const exported = await startExport(format)
        expect(exported).toMatchObject({ sequence: 0, elementType: dtype, shape: [3, 2] })
        const bytes = await readBody(exported.body)
        expect(bytes).toHaveLength(exported.contentLength)
        const inside = { npy: readNpy, safetensors: (body: Buffer) => readSafetensors(body).get('embeddings'), raw: () => undefined }[
          format
        ](bytes)
        if (format !== 'raw') expect(inside).toMatchObject({ elementType: dtype, shape: [3, 2] })
        expect(Buffer.compare(inside?.data ?? bytes, data), `${dtype} as ${format}`).toBe(0)
      }
    }
  })

  test('of bfloat16 comes as safetensors or raw, and is refused as npy', async () => {
    await create(3, 2, 'bfloat16', six)
    const wanted = Buffer.from(Uint16Array.from(six, (value) => new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16).buffer)
    const tensor = readSafetensors(await readBody((await startExport('safetensors')).body)).get('embeddings')
    expect(tensor).toMatchObject({ elementType: 'bfloat16', shape: [3, 2] })
    expect(Buffer.compare(tensor?.data ?? new Uint8Array(0), wanted)).toBe(0)
    expect(Buffer.compare(await readBody((await startExport('raw')).body), wanted)).toBe(0)
    await expect(startExport('npy')).rejects.toMatchObject({ code: 'NOT_ACCEPTABLE' })
  })

  test('of int8 comes as three arrays, or raw as the stored rows', async () => {
    await create(3, 5, 'int8', Float32Array.of(0, 2.5, 255, 100, 1, 7, 7, 7, 7, 7, -1, 0, 1, 0, -1))
    const exported = await startExport('safetensors')
    const bytes = await readBody(exported.body)
    expect(bytes).toHaveLength(exported.contentLength)
    const tensors = readSafetensors(bytes)
    expect(tensors.get('embeddings')).toMatchObject({ elementType: 'uint8', shape: [3, 5] })
    expect(Array.from(tensors.get('embeddings')?.data.subarray(0, 5) ?? [])).toEqual([0, 2, 255, 100, 1])
    expect(Array.from(asFloats(tensors.get('scale')?.data ?? bytes))).toEqual([1, 0, Math.fround(2 / 255)])
    expect(Array.from(asFloats(tensors.get('bias')?.data ?? bytes))).toEqual([0, 7, -1])
    const raw = await startExport('raw')
    expect(raw).toMatchObject({ contentLength: 39, elementType: 'uint8', shape: [3, 13] })
    expect((await readBody(raw.body)).subarray(0, 13).toString('hex')).toBe('0002ff64010000803f00000000')
    await expect(startExport('npy')).rejects.toMatchObject({ code: 'NOT_ACCEPTABLE' })
  })

  test('has all rows of many segments and many chunks, int8 and odd dims too', async () => {
    service.close()
    service = startKeeper({ segmentBytesMax: 4 * PAGE_BYTES })
    const [rows, dim] = [20_011, 57]
    const values = Float32Array.from({ length: rows * dim }, (_, i) => i % 2048)
    await create(rows, dim, 'float32', values)
    const chunks = await Array.fromAsync((await startExport('npy')).body)
    expect(chunks.length).toBeGreaterThan(4)
    expect(chunks.every((chunk) => chunk.length <= 1024 * 1024 && !(chunk.buffer instanceof SharedArrayBuffer))).toBe(true)
    expect(Buffer.compare(readNpy(Buffer.concat(chunks)).data, Buffer.from(values.buffer))).toBe(0)
    await create(rows, dim, 'int8', values)
    const stored = await readBody((await startExport('raw')).body)
    const tensors = readSafetensors(await readBody((await startExport('safetensors')).body))
    for (const row of [0, 1, 9_999, rows - 1]) {
      const at = row * (dim + 8)
      const joined = Buffer.concat([
        tensors.get('embeddings')?.data.subarray(row * dim, (row + 1) * dim) ?? stored,
        tensors.get('scale')?.data.subarray(row * 4, row * 4 + 4) ?? stored,
        tensors.get('bias')?.data.subarray(row * 4, row * 4 + 4) ?? stored,
      ])
      expect(Buffer.compare(stored.subarray(at, at + dim + 8), joined), `row ${row}`).toBe(0)
    }
  })

  test('of a table without rows is its header', async () => {
    await create(0, 4, 'float32', new Float32Array(0))
    for (const format of ['npy', 'safetensors', 'raw'] as const) {
      const { body, contentLength } = await startExport(format)
      expect(await readBody(body)).toHaveLength(contentLength)
    }
    await create(0, 4, 'int8', new Float32Array(0))
    const { body, contentLength } = await startExport('safetensors')
    expect(await readBody(body)).toHaveLength(contentLength)
  })
})

/** The line, but without what the keeper remembers of overwritten rows: what an export would be without asking. */
const forgetful = (client: KeeperClient): ExportLine => ({
  call: async (procedure, argument) => {
    const answer = await client.call(procedure, argument)
    return procedure === 'readPreimages' ? ({ rows: new Int32Array(0), bytes: new Uint8Array(0) } as typeof answer) : answer
  },
})

describe('While updates run, an export', () => {
  const [rows, dim] = [16, 65_536]
  const original = Float32Array.from({ length: rows * dim }, (_, i) => Math.floor(i / dim))
  /** Four rows to a chunk. */
  const firstOf = (bytes: Buffer) => Array.from({ length: rows }, (_, row) => bytes.readFloatLE(row * dim * 4))

  test('is the table at its sequence, wherever and whenever rows are changed', async () => {
    const changes = fc.array(fc.record({ chunk: fc.nat(4), indices: fc.array(fc.nat(rows - 1), { minLength: 1, maxLength: 3 }) }), {
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(changes, async (updates) => {
        await create(rows, dim, 'float32', original)
        const apply = async (chunk: number) => {
          for (const { indices } of updates.filter((one) => one.chunk === chunk)) {
            await update(
              'add',
              indices,
              Array.from({ length: indices.length * dim }, () => 100),
            )
          }
        }
        const exported = await startExport('raw')
        const chunks: Buffer[] = []
        await apply(0)
        for await (const chunk of exported.body) {
          chunks.push(chunk)
          await apply(chunks.length)
        }
        expect(exported.sequence).toBe(0)
        expect(firstOf(Buffer.concat(chunks))).toEqual(firstOf(Buffer.from(original.buffer)))
      }),
      { numRuns: 15 },
    )
  })

  test('begins where earlier updates ended', async () => {
    await create(rows, dim, 'float32', original)
    await update(
      'set',
      [3],
      Array.from({ length: dim }, () => -1),
    )
    const exported = await startExport('raw')
    await update(
      'set',
      [3, 15],
      Array.from({ length: 2 * dim }, () => -2),
    )
    expect(exported.sequence).toBe(1)
    expect(firstOf(await readBody(exported.body))).toEqual([0, 1, 2, -1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    expect((await startExport('raw')).sequence).toBe(2)
  })

  test('would mix sequences without the rows that the keeper remembers', async () => {
    await create(rows, dim, 'float32', original)
    const exported = await startExport('raw', forgetful(service.client))
    await update(
      'set',
      [15],
      Array.from({ length: dim }, () => -2),
    )
    expect(firstOf(await readBody(exported.body))[15]).toBe(-2)
  })

  test.each([
    ['asks the keeper', false],
    ['(control) does not ask', true],
  ])('from another thread is one sequence only when it %s', async (_, isForgetful) => {
    const { port1, port2 } = new MessageChannel()
    const worker = new Worker(new URL('./keeper-thread.ts', import.meta.url), { workerData: { port: port1 }, transferList: [port1] })
    const client = new KeeperClient(port2)
    try {
      const [count, width] = [2048, 1024]
      await create(count, width, 'float32', new Float32Array(count * width), client)
      const all = Int32Array.from({ length: count }, (__, row) => row)
      const ones = new Float32Array(count * width).fill(1)
      let mixedCount = 0
      for (let round = 0; round < 6; round++) {
        const pending = Array.from({ length: 4 }, () =>
          client.call('update', { name: 'user', operation: 'add', indices: all, values: ones, precondition: {} }),
        )
        const exported = await startExport('raw', isForgetful ? forgetful(client) : client, client)
        const late = client.call('update', { name: 'user', operation: 'add', indices: all, values: ones, precondition: {} })
        const values = asFloats(await readBody(exported.body))
        if (values.some((value) => value !== exported.sequence)) mixedCount += 1
        await Promise.all([...pending, late])
      }
      if (isForgetful) expect(mixedCount).toBeGreaterThan(0)
      else expect(mixedCount).toBe(0)
    } finally {
      client.close()
      await worker.terminate()
    }
  })
})

describe('An export holds its version until', () => {
  const prepare = async (line?: ExportLine) => {
    await create(8, 65_536, 'float32', new Float32Array(8 * 65_536))
    const exported = await startExport('npy', line)
    await service.client.call('remove', { name: 'user', precondition: {} })
    await service.client.call('sync', null)
    expect(service.keeper.memory.reservedBytes).toBeGreaterThan(0)
    return exported
  }
  const expectFreed = async () => {
    await service.client.call('sync', null)
    expect(service.keeper.memory.reservedBytes).toBe(0)
  }

  test('it was read', async () => {
    const { body, contentLength } = await prepare()
    expect(await readBody(body)).toHaveLength(contentLength)
    await expectFreed()
    expect(await body.next()).toEqual({ done: true, value: undefined })
  })

  test('it is left in the middle', async () => {
    const { body } = await prepare()
    for await (const chunk of body) {
      expect(chunk.length).toBeGreaterThan(0)
      break
    }
    await expectFreed()
  })

  test('it is given up before it began, once or twice', async () => {
    const { body } = await prepare()
    await body.return()
    await body.return()
    await expectFreed()
  })

  test('the stream made of it is destroyed', async () => {
    const { body } = await prepare()
    const stream = Readable.from(body, { objectMode: false })
    stream.destroy()
    await expect.poll(() => stream.closed).toBe(true)
    await expectFreed()
  })

  test('it fails', async () => {
    const failing: ExportLine = {
      call: (procedure, argument) =>
        procedure === 'readPreimages' ? Promise.reject(new Error('changed too much')) : service.client.call(procedure, argument),
    }
    const { body } = await prepare(failing)
    await body.next()
    await expect(body.next()).rejects.toThrow('changed too much')
    await expectFreed()
  })

  test('the line to the keeper is closed', async () => {
    const { body } = await prepare()
    service.client.close()
    await body.next()
    await expect(body.next()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
    expect(await body.next()).toMatchObject({ done: true })
  })

  test('its beginning is refused', async () => {
    await create(1, 1, 'float32', Float32Array.of(1))
    const { current } = service.client.registry.find('user')
    await service.client.call('remove', { name: 'user', precondition: {} })
    await expect(exportTable(service.client, 'user', current, 'raw')).rejects.toMatchObject({ code: 'TABLE_NOT_FOUND' })
    expect(() => current.unpin(), 'it is not pinned any more').toThrow('unpinned')
  })
})

test('An ended export is not remembered by the keeper any more', async () => {
  await create(1, 2, 'float32', Float32Array.of(1, 2))
  const calls: string[] = []
  const line: ExportLine = {
    call: (procedure, argument) => {
      calls.push(procedure)
      return service.client.call(procedure, argument)
    },
  }
  const { body } = await startExport('raw', line)
  await readBody(body)
  expect(calls).toEqual(['beginExport', 'readPreimages', 'endExport'])
})
