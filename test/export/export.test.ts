import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readNpy } from '../../src/formats/npy.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { asFloats, exportUser, putUser, readBody } from './user-table.ts'

let service: TestWriter
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(() => service.close())

describe('An export', () => {
  const six = Float32Array.of(1, -2.5, 3, 4, 5, 6.5)

  test('is the table in its dtype, with the announced length, as npy, safetensors and raw', async () => {
    for (const dtype of ['float32', 'float16'] as const) {
      await putUser(service.client, 3, 2, dtype, six)
      const data = Buffer.from((dtype === 'float32' ? six : Float16Array.from(six)).buffer)
      for (const format of ['npy', 'safetensors', 'raw'] as const) {
        const exported = await exportUser(service.client, format)
        expect(exported).toMatchObject({ sequence: 0, elementType: dtype, shape: [3, 2] })
        const bytes = await readBody(exported.body)
        expect(bytes).toHaveLength(exported.contentLength)
        const inside = {
          npy: readNpy,
          safetensors: (body: Buffer) => readSafetensors(body).get('embeddings'),
          raw: () => undefined,
        }[format](bytes)
        if (format !== 'raw') expect(inside).toMatchObject({ elementType: dtype, shape: [3, 2] })
        expect(Buffer.compare(inside?.data ?? bytes, data), `${dtype} as ${format}`).toBe(0)
      }
    }
  })

  test('of bfloat16 is possible as safetensors and raw, and is refused as npy', async () => {
    await putUser(service.client, 3, 2, 'bfloat16', six)
    const wanted = Buffer.from(
      Uint16Array.from(six, (value) => new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16).buffer,
    )
    const tensor = readSafetensors(
      await readBody((await exportUser(service.client, 'safetensors')).body),
    ).get('embeddings')
    expect(tensor).toMatchObject({ elementType: 'bfloat16', shape: [3, 2] })
    expect(Buffer.compare(tensor?.data ?? new Uint8Array(0), wanted)).toBe(0)
    expect(Buffer.compare(await readBody((await exportUser(service.client, 'raw')).body), wanted)).toBe(0)
    await expect(exportUser(service.client, 'npy')).rejects.toMatchObject({ code: 'NOT_ACCEPTABLE' })
  })

  test('of int8 is three arrays in safetensors, and the stored rows in raw', async () => {
    await putUser(
      service.client,
      3,
      5,
      'int8',
      Float32Array.of(0, 2.5, 255, 100, 1, 7, 7, 7, 7, 7, -1, 0, 1, 0, -1),
    )
    const exported = await exportUser(service.client, 'safetensors')
    const bytes = await readBody(exported.body)
    expect(bytes).toHaveLength(exported.contentLength)
    const tensors = readSafetensors(bytes)
    expect(tensors.get('embeddings')).toMatchObject({ elementType: 'uint8', shape: [3, 5] })
    expect(Array.from(tensors.get('embeddings')?.data.subarray(0, 5) ?? [])).toEqual([0, 2, 255, 100, 1])
    expect(Array.from(asFloats(tensors.get('scale')?.data ?? bytes))).toEqual([1, 0, Math.fround(2 / 255)])
    expect(Array.from(asFloats(tensors.get('bias')?.data ?? bytes))).toEqual([0, 7, -1])
    const raw = await exportUser(service.client, 'raw')
    expect(raw).toMatchObject({ contentLength: 39, elementType: 'uint8', shape: [3, 13] })
    expect((await readBody(raw.body)).subarray(0, 13).toString('hex')).toBe('0002ff64010000803f00000000')
    await expect(exportUser(service.client, 'npy')).rejects.toMatchObject({ code: 'NOT_ACCEPTABLE' })
  })

  test('has all rows of many segments and chunks, also for int8 and odd dims', async () => {
    await service.close()
    service = await startTestWriter({ segmentBytesMax: 4 * PAGE_BYTES })
    const [rows, dim] = [20_011, 57]
    const values = Float32Array.from({ length: rows * dim }, (_, i) => i % 2048)
    await putUser(service.client, rows, dim, 'float32', values)
    const chunks = await Array.fromAsync((await exportUser(service.client, 'npy')).body)
    expect(chunks.length).toBeGreaterThan(4)
    expect(
      chunks.every((chunk) => chunk.length <= 1024 * 1024 && !(chunk.buffer instanceof SharedArrayBuffer)),
    ).toBe(true)
    expect(Buffer.compare(readNpy(Buffer.concat(chunks)).data, Buffer.from(values.buffer))).toBe(0)
    await putUser(service.client, rows, dim, 'int8', values)
    const stored = await readBody((await exportUser(service.client, 'raw')).body)
    const tensors = readSafetensors(await readBody((await exportUser(service.client, 'safetensors')).body))
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

  test('of a table without rows is a header alone', async () => {
    await putUser(service.client, 0, 4, 'float32', new Float32Array(0))
    for (const format of ['npy', 'safetensors', 'raw'] as const) {
      const { body, contentLength } = await exportUser(service.client, format)
      expect(await readBody(body)).toHaveLength(contentLength)
    }
    await putUser(service.client, 0, 4, 'int8', new Float32Array(0))
    const { body, contentLength } = await exportUser(service.client, 'safetensors')
    expect(await readBody(body)).toHaveLength(contentLength)
  })
})
