import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Dtype, ELEMENT_BYTES, type ElementType } from '../../src/core/types.ts'
import { exportTable } from '../../src/export/export.ts'
import { readRows } from '../../src/export/rows.ts'
import { asFloat32 } from '../../src/formats/index-array.ts'
import { Arena } from '../../src/tables/arena.ts'
import { createTable } from '../../src/upload/create.ts'
import { uploadTable } from '../../src/upload/upload.ts'
import { type Expected, flatten, type GoldenCase, readSuite } from '../golden/golden.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { bodyOf, bytesOf, cutAt, npyBody, readAll, uploadOf } from './bodies.ts'
import { runsOf } from '../helpers/property-runs.ts'

let service: TestWriter
const arena = new Arena(4 * 1024 * 1024)
beforeAll(async () => {
  service = await startTestWriter()
})
afterAll(() => service.close())

/** Selects lookups that only show how rows are stored, without mode, pooling or answer dtype. */
const isPlain = (golden: GoldenCase) =>
  golden.route === 'lookup' &&
  Object.keys(golden.request ?? {}).join() === 'indices' &&
  golden.table !== null &&
  golden.expect?.embeddings !== undefined

describe('Golden rows, uploaded as float32 and created from values:', () => {
  test.each(readSuite('dtypes').filter(isPlain))('$name', async (golden) => {
    const { rows, dim, dtype, values } = golden.table as NonNullable<GoldenCase['table']>
    const numbers = Float32Array.from(flatten(values))
    const wishes = { dtype: dtype as Dtype, allowNonFinite: true }
    await uploadTable(
      service.client,
      arena,
      uploadOf('npy', npyBody('float32', [rows, dim], numbers), wishes),
    )
    const { embeddings } = golden.expect as Expected
    const wanted = flatten(embeddings ?? [])
    const found = flatten((golden.request?.indices ?? []) as number[]).flatMap((row) =>
      readAll(service.client, arena).slice(row * dim, (row + 1) * dim),
    )
    expect(found).toHaveLength(wanted.length)
    const atol = golden.tolerance?.atol ?? 0
    wanted.forEach((number, i) => {
      if (atol === 0)
        expect(golden.compare === 'bits' ? found[i] : found[i] + 0, `at ${i}`).toBe(
          golden.compare === 'bits' ? number : number + 0,
        )
      else expect(Math.abs(found[i] - number), `at ${i}`).toBeLessThanOrEqual(atol)
    })
    const uploaded = readAll(service.client, arena)
    await createTable(service.client, arena, {
      name: 'user',
      rows,
      dim,
      source: { values: numbers },
      settings: {},
      precondition: {},
      ...wishes,
    })
    expect(readAll(service.client, arena)).toEqual(uploaded)
  })
})

const FLOATS = ['float64', 'float32', 'float16', 'bfloat16'] as const
const INTEGERS = ['int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64', 'bool'] as const

/** Converts integers to float32 by BigInt, an independent and slow way. */
const integerAsFloat32 = (bytes: Uint8Array, type: (typeof INTEGERS)[number], i: number): number => {
  const size = ELEMENT_BYTES[type]
  let value = 0n
  for (let k = size - 1; k >= 0; k--) value = (value << 8n) | BigInt(bytes[i * size + k])
  if (type === 'bool') return value === 0n ? 0 : 1
  if (type.startsWith('int')) value = BigInt.asIntN(size * 8, value)
  return roundOnce(value)
}

/** Finds the nearest float32, with ties to even, in integer arithmetic. */
const roundOnce = (value: bigint): number => {
  const magnitude = value < 0n ? -value : value
  const excess = BigInt(Math.max(0, magnitude.toString(2).length - 24))
  const half = excess === 0n ? 0n : 1n << (excess - 1n)
  let kept = magnitude >> excess
  const rest = magnitude - (kept << excess)
  if (rest > half || (excess > 0n && rest === half && (kept & 1n) === 1n)) kept += 1n
  return Number(value < 0n ? -(kept << excess) : kept << excess)
}

const DIM = 3

const uploadRandom = async (bytes: Uint8Array, inputType: ElementType, dtype: Dtype): Promise<number[]> => {
  const rows = bytes.length / ELEMENT_BYTES[inputType] / DIM
  const pieces = cutAt(bytes, [Math.floor(bytes.length / 3), Math.floor((bytes.length * 2) / 3)])
  await uploadTable(
    service.client,
    arena,
    uploadOf('raw', bodyOf(...pieces), { rows, dim: DIM, inputType, dtype, allowNonFinite: true }),
  )
  return Array.from(readRows(service.client.registry.find('user').current, arena, 0, rows).values)
}

/** Bit patterns of whole rows; half of the numbers are in the middle of float32's range. */
const bytesFor = (type: ElementType) =>
  fc.uint8Array({ minLength: 4 * DIM * ELEMENT_BYTES[type], maxLength: 4 * DIM * ELEMENT_BYTES[type] })

describe('Uploaded numbers', () => {
  test.each(INTEGERS)('of type %s become float32 in one rounding', async (type) => {
    await fc.assert(
      fc.asyncProperty(bytesFor(type), async (bytes) => {
        const wanted = Array.from({ length: 4 * DIM }, (_, i) => integerAsFloat32(bytes, type, i))
        expect(await uploadRandom(bytes, type, 'float32')).toEqual(wanted)
      }),
      { numRuns: runsOf({ quick: 5, long: 40 }) },
    )
  })

  test('of 64-bit integers next to a tie are not rounded twice', async () => {
    const ties = BigInt64Array.of(
      2n ** 53n + 2n ** 29n + 1n,
      -(2n ** 53n) - 2n ** 29n - 1n,
      2n ** 62n + 2n ** 38n + 1n,
    )
    expect(await uploadRandom(bytesOf(ties), 'int64', 'float32')).toEqual(Array.from(ties, roundOnce))
    expect(Math.fround(Number(ties[0])), 'the naive way differs').not.toBe(roundOnce(ties[0]))
  })

  test.each(FLOATS)('of type %s are stored as float32, and as 16 bits rounded from float32', async (type) => {
    await fc.assert(
      fc.asyncProperty(bytesFor(type), async (bytes) => {
        const single = Array.from(asFloat32(bytes, type))
        expect(await uploadRandom(bytes, type, 'float32')).toEqual(single)
        expect(await uploadRandom(bytes, type, 'float16')).toEqual(Array.from(Float16Array.from(single)))
        const throughSingle = await uploadRandom(bytesOf(Float32Array.from(single)), 'float32', 'bfloat16')
        expect(await uploadRandom(bytes, type, 'bfloat16')).toEqual(throughSingle)
      }),
      { numRuns: runsOf({ quick: 5, long: 40 }) },
    )
  })

  test.each([...FLOATS, ...INTEGERS])('of type %s become int8 rows as their float32 would', async (type) => {
    await fc.assert(
      fc.asyncProperty(bytesFor(type), async (bytes) => {
        const single = Float32Array.from(await uploadRandom(bytes, type, 'float32'))
        const wanted = await uploadRandom(bytesOf(single), 'float32', 'int8')
        expect(await uploadRandom(bytes, type, 'int8')).toEqual(wanted)
      }),
      { numRuns: runsOf({ quick: 3, long: 15 }) },
    )
  })

  test('of wide int8 rows may arrive in parts of a row', async () => {
    const dim = 65_536
    const values = Float64Array.from({ length: 2 * dim }, (_, i) => i % 256)
    const pieces = cutAt(bytesOf(values), [1, 300_001, 524_289, 524_290, 1_000_000])
    await uploadTable(
      service.client,
      arena,
      uploadOf('raw', bodyOf(...pieces), { rows: 2, dim, inputType: 'float64', dtype: 'int8' }),
    )
    expect(readAll(service.client, arena)).toEqual(Array.from(values))
  })
})

describe('A number that is not finite', () => {
  test('is stored when allowed, and overflow is stored as infinity', async () => {
    const body = npyBody('float32', [2, 2], Float32Array.of(NaN, -Infinity, 1, 1e30))
    await uploadTable(service.client, arena, uploadOf('npy', body, { allowNonFinite: true }))
    expect(readAll(service.client, arena)).toEqual([NaN, -Infinity, 1, Math.fround(1e30)])
    await uploadTable(
      service.client,
      arena,
      uploadOf('npy', body, { allowNonFinite: true, dtype: 'float16' }),
    )
    expect(readAll(service.client, arena)).toEqual([NaN, -Infinity, 1, Infinity])
  })

  test.each([
    ['float32', Uint32Array.of(0x7f80_0001, 0xffc1_2345, 0x7fff_ffff, 0xff80_1000)],
    ['float16', Uint16Array.of(0x7c01, 0xfe37, 0x7d55, 0xfc01)],
    ['bfloat16', Uint16Array.of(0x7f81, 0xffc1, 0x7fff, 0xff95)],
  ] as const)('of type %s keeps its bits from the upload to the export', async (dtype, bits) => {
    const wishes = { allowNonFinite: true, rows: 2, dim: 2, inputType: dtype }
    const body = Buffer.from(bits.buffer.slice(0))
    await uploadTable(service.client, arena, uploadOf('raw', body, wishes))
    const { current } = service.client.registry.find('user')
    const exported = await exportTable(service.client, 'user', current, 'raw', false)
    expect(Buffer.concat(await Array.fromAsync(exported.body))).toEqual(body)
  })

  test('makes its whole row NaN in an int8 table', async () => {
    await uploadTable(
      service.client,
      arena,
      uploadOf('npy', npyBody('float32', [2, 2], Float32Array.of(NaN, 7, 0, 255)), {
        allowNonFinite: true,
        dtype: 'int8',
      }),
    )
    expect(readAll(service.client, arena)).toEqual([NaN, NaN, 0, 255])
  })
})
