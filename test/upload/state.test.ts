import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Optimizer } from '../../src/core/types.ts'
import { exportTable } from '../../src/export/export.ts'
import { readSafetensors, writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { Arena } from '../../src/tables/arena.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'
import { uploadTable } from '../../src/upload/upload.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { bodyOf, bytesOf, cutAt, safetensorsBody, uploadOf } from './bodies.ts'
import { runsOf } from '../helpers/property-runs.ts'

let service: TestWriter
const arena = new Arena(8 * 1024 * 1024)
beforeEach(async () => {
  service = await startTestWriter({ segmentBytesMax: PAGE_BYTES })
})
afterEach(async () => {
  await service.close()
  expect(arena.reservedBytes, 'the stages are given back').toBe(0)
})

const adam: Optimizer = { kind: 'adam', learning_rate: 1, beta1: 0.9, beta2: 0.99, epsilon: 1 }
const OPTIMIZERS: Optimizer[] = [
  adam,
  { kind: 'momentum', learning_rate: 1, momentum: 0.9, nesterov: false },
  {
    kind: 'rowwise_adagrad',
    learning_rate: 1,
    initial_accumulator: 3,
    epsilon: 1,
    epsilon_inside_sqrt: false,
  },
]
const [rows, dim] = [40, 1023]
const wave = (count: number, phase: number) => {
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) values[i] = Math.sin(i + phase)
  return values
}
const tensor = (name: string, phase: number, shape = [rows, dim]) => ({
  name,
  elementType: 'float32' as const,
  shape,
  data: wave(
    shape.reduce((product, size) => product * size, 1),
    phase,
  ),
})
const embeddings = tensor('embeddings', 0)
const step = {
  name: 'optimizer/step',
  elementType: 'int64' as const,
  shape: [],
  data: BigInt64Array.of(1_000_000_007n),
}
const BODIES = {
  adam: [tensor('optimizer/v', 2), embeddings, step, tensor('optimizer/m', 1)],
  momentum: [embeddings, tensor('optimizer/momentum', 1)],
  rowwise_adagrad: [tensor('optimizer/accumulator', 1, [rows]), embeddings],
}

/** Exports the table, and returns the bytes of each array. */
const download = async () => {
  const exported = await exportTable(
    service.client,
    'user',
    service.client.registry.find('user').current,
    'safetensors',
    true,
  )
  return readSafetensors(Buffer.concat(await Array.fromAsync(exported.body)))
}

describe('Optimizer state in an upload', () => {
  test.each(OPTIMIZERS)(
    'of $kind is stored equally for any pieces and for tables of many segments',
    async (optimizer) => {
      const tensors = BODIES[optimizer.kind as keyof typeof BODIES]
      const body = safetensorsBody(...tensors)
      const cutsOf = fc
        .array(fc.nat(body.length), { maxLength: 20 })
        .map((cuts) => cuts.sort((a, b) => a - b))
      await fc.assert(
        fc.asyncProperty(cutsOf, async (cuts) => {
          const source = bodyOf(...cutAt(body, cuts))
          await uploadTable(
            service.client,
            arena,
            uploadOf('safetensors', source, { optimizer, settings: { optimizer } }),
          )
          const found = await download()
          for (const { name, data } of tensors) {
            expect(Buffer.compare(found.get(name)?.data ?? new Uint8Array(0), bytesOf(data)), name).toBe(0)
          }
        }),
        { numRuns: runsOf({ quick: 4, long: 12 }) },
      )
    },
  )

  test('may arrive byte by byte', async () => {
    const small = [
      tensor('optimizer/m', 1, [3, 2]),
      tensor('optimizer/v', 2, [3, 2]),
      step,
      tensor('embeddings', 0, [3, 2]),
    ]
    const body = safetensorsBody(...small)
    const source = bodyOf(...cutAt(body, Array.from(body.keys()).slice(1)))
    await uploadTable(
      service.client,
      arena,
      uploadOf('safetensors', source, { optimizer: adam, settings: { optimizer: adam } }),
    )
    const found = await download()
    for (const { name, data } of small)
      expect(Buffer.from(found.get(name)?.data ?? []), name).toEqual(Buffer.from(bytesOf(data)))
  })

  test('may have axes of length one more, as NumPy stores a number and others one number a row', async () => {
    const uploadState = async (kind: string, ...tensors: Parameters<typeof safetensorsBody>) => {
      const optimizer = OPTIMIZERS.find((one) => one.kind === kind) ?? adam
      const body = safetensorsBody(...tensors, tensor('embeddings', 0, [3, 2]))
      const wishes = { optimizer, settings: { optimizer } }
      await uploadTable(service.client, arena, uploadOf('safetensors', bodyOf(body), wishes))
      return download()
    }
    const moments = [tensor('optimizer/m', 1, [3, 2]), tensor('optimizer/v', 2, [3, 2])]
    for (const shape of [[1], [1, 1]]) {
      const found = await uploadState('adam', ...moments, { ...step, shape })
      expect(found.get('optimizer/step')?.shape).toEqual([])
      expect(found.get('optimizer/step')?.data).toEqual(bytesOf(step.data))
    }
    const column = tensor('optimizer/accumulator', 1, [3, 1])
    const found = await uploadState('rowwise_adagrad', column)
    expect(found.get('optimizer/accumulator')).toMatchObject({ shape: [3], data: bytesOf(column.data) })
    await expect(
      uploadState('adam', ...moments, { ...step, shape: [2], data: BigInt64Array.of(1n, 2n) }),
    ).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' })
  })

  test('of adam is not corrupted by pages that are warmed ahead of the loader', async () => {
    await service.close()
    service = await startTestWriter()
    const shape = [8192, 256]
    const large = [
      tensor('optimizer/m', 1, shape),
      tensor('optimizer/v', 2, shape),
      step,
      tensor('embeddings', 0, shape),
    ]
    const body = safetensorsBody(...large)
    const pieces = Array.from({ length: Math.ceil(body.length / 65_536) }, (_, i) =>
      body.subarray(i * 65_536, (i + 1) * 65_536),
    )
    await uploadTable(
      service.client,
      arena,
      uploadOf('safetensors', bodyOf(...pieces), { optimizer: adam, settings: { optimizer: adam } }),
    )
    const found = await download()
    for (const { name, data } of large)
      expect(Buffer.compare(found.get(name)?.data ?? new Uint8Array(0), bytesOf(data)), name).toBe(0)
  })

  test('that is cut short or not finite creates no table and releases its memory', async () => {
    const body = safetensorsBody(...BODIES.adam)
    const cut = uploadTable(
      service.client,
      arena,
      uploadOf('safetensors', body.subarray(0, -1), { optimizer: adam, settings: { optimizer: adam } }),
    )
    await expect(cut).rejects.toMatchObject({ code: 'MALFORMED_BODY' })
    const spoilt = {
      ...tensor('optimizer/m', 1),
      data: wave(rows * dim, 1).fill(Infinity, 2 * dim + 5, 2 * dim + 6),
    }
    const bad = safetensorsBody(embeddings, spoilt, tensor('optimizer/v', 1), step)
    const refused = uploadTable(
      service.client,
      arena,
      uploadOf('safetensors', bad, { optimizer: adam, settings: { optimizer: adam } }),
    )
    await expect(refused).rejects.toMatchObject({
      code: 'NON_FINITE',
      message: 'optimizer/m is not finite at row 2, column 5',
    })
    expect(service.client.registry.names()).toEqual([])
    expect(service.writer.memory.reservedBytes).toBe(0)
  })

  test('releases all memory when the quota has room for the rows alone', async () => {
    await service.close()
    service = await startTestWriter({ quotaBytes: 4 * PAGE_BYTES, segmentBytesMax: 4 * PAGE_BYTES })
    const refused = uploadTable(
      service.client,
      arena,
      uploadOf('safetensors', safetensorsBody(...BODIES.adam), {
        optimizer: adam,
        settings: { optimizer: adam },
      }),
    )
    await expect(refused).rejects.toMatchObject({ code: 'MEMORY_QUOTA_EXCEEDED' })
    expect(service.writer.memory.reservedBytes).toBe(0)
    await uploadTable(service.client, arena, uploadOf('safetensors', safetensorsBody(embeddings)))
  })

  test('belongs to the optimizer of the metadata unless the request names one', async () => {
    const { header } = writeSafetensorsHeader(BODIES.momentum, new Map([['optimizer', 'any text']]))
    const body = Buffer.concat([header, ...BODIES.momentum.map(({ data }) => bytesOf(data))])
    const readOptimizer = (text: string): Optimizer => {
      expect(text).toBe('any text')
      return OPTIMIZERS[1]
    }
    await uploadTable(service.client, arena, uploadOf('safetensors', body, { readOptimizer }))
    expect(service.client.registry.find('user').record.settings.optimizer).toEqual(OPTIMIZERS[1])
    const other = uploadTable(
      service.client,
      arena,
      uploadOf('safetensors', body, { readOptimizer, optimizer: adam }),
    )
    await expect(other).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })
})
