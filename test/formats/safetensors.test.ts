import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { ELEMENT_BYTES } from '../../src/core/types.ts'
import type { ElementType } from '../../src/core/types.ts'
import {
  readSafetensors,
  readSafetensorsHeader,
  safetensorsHeaderBytes,
  writeSafetensorsHeader,
} from '../../src/formats/safetensors.ts'
import { bytesOf, codeOf, COUNTING, misalign, readFixture, refusalOf } from './refusal.ts'
import { join, makeBody } from './safetensors-bodies.ts'

const TYPES = Object.keys(ELEMENT_BYTES) as ElementType[]

describe('a safetensors file of the Python library is read:', () => {
  test('arrays of every element type', () => {
    const arrays = readSafetensors(readFixture('every-dtype.safetensors'))
    expect([...arrays.keys()].sort()).toEqual([...TYPES].sort())
    for (const elementType of TYPES) {
      expect(arrays.get(elementType)).toEqual({
        elementType,
        shape: [2, 3],
        data: bytesOf(COUNTING[elementType]),
      })
    }
  })

  test('names and metadata, also with names of Object.prototype', () => {
    const bytes = readFixture('names.safetensors')
    const { tensors, metadata } = readSafetensorsHeader(bytes, bytes.length)
    expect([...tensors.keys()].sort()).toEqual([
      '7',
      '__proto__',
      'constructor',
      'naïve "quoted" \\ name',
      'user/indices',
      '\u{1f600}',
    ])
    expect(metadata).toEqual(
      new Map([
        ['made by', 'safetensors'],
        ['__proto__', 'x'],
      ]),
    )
    for (const { data } of readSafetensors(bytes).values())
      expect(data).toEqual(bytesOf(new Float32Array([1.5, -2.5])))
  })

  test('scalars, and empty arrays that begin where others do', () => {
    expect(readSafetensors(readFixture('shapes.safetensors'))).toEqual(
      new Map([
        ['empty', { elementType: 'int64', shape: [0, 3], data: new Uint8Array(0) }],
        ['scalar', { elementType: 'float32', shape: [], data: bytesOf(new Float32Array([1.5])) }],
        ['nothing', { elementType: 'uint8', shape: [4, 0], data: new Uint8Array(0) }],
      ]),
    )
  })

  test('a file without arrays', () => {
    expect(readSafetensors(readFixture('no-tensors.safetensors')).size).toBe(0)
  })

  test('but float8 is refused as DTYPE_MISMATCH', () => {
    expect(codeOf(() => readSafetensors(readFixture('float8.safetensors')))).toBe('DTYPE_MISMATCH')
  })

  test('its arrays are views of the body, also of a Buffer at an odd address', () => {
    const bytes = misalign(readFixture('every-dtype.safetensors'))
    for (const [name, { data }] of readSafetensors(bytes)) {
      expect(data).toEqual(bytesOf(COUNTING[name]))
      expect(data.buffer).toBe(bytes.buffer)
      expect(Buffer.isBuffer(data)).toBe(false)
    }
  })
})

describe('the header length of a safetensors body', () => {
  const bytes = readFixture('shapes.safetensors')

  test('is known after 8 bytes', () => {
    for (let length = 0; length < 8; length += 1)
      expect(safetensorsHeaderBytes(bytes.subarray(0, length))).toBe(null)
    const headerBytes = safetensorsHeaderBytes(bytes.subarray(0, 8))
    expect(headerBytes).toBe(bytes.length - 4)
    expect(safetensorsHeaderBytes(misalign(bytes))).toBe(headerBytes)
  })

  const above = [100_000_001n, 2n ** 31n, 2n ** 32n + 8n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]
  test.each(above)('is refused at once when it is %i', (length) => {
    const prefix = new Uint8Array(8)
    new DataView(prefix.buffer).setBigUint64(0, length, true)
    const { code, detail } = refusalOf(() => safetensorsHeaderBytes(prefix))
    expect(code).toBe('MALFORMED_BODY')
    expect(detail).toContain(`${length} bytes; the limit is 100000000`)
  })

  test('may be as large as the limit of the format, most of it padding', () => {
    const prefix = new Uint8Array(8)
    new DataView(prefix.buffer).setBigUint64(0, BigInt(LIMITS.safetensorsHeaderBytesMax), true)
    expect(safetensorsHeaderBytes(prefix)).toBe(100_000_008)
    expect(readSafetensors(makeBody('{}'.padEnd(2 ** 21), 0)).size).toBe(0)
  })

  test('is refused with both numbers when the body is shorter', () => {
    expect(refusalOf(() => readSafetensorsHeader(bytes.subarray(0, 20), bytes.length))).toEqual({
      code: 'MALFORMED_BODY',
      detail: `the safetensors body ends inside its header: 20 bytes, expected ${bytes.length - 4}`,
    })
    expect(refusalOf(() => readSafetensors(bytes.subarray(0, 7))).detail).toMatch(
      /7 bytes, expected at least 8$/,
    )
  })

  test('leads to MALFORMED_BODY when the body is cut anywhere or a byte too long', () => {
    for (const file of ['shapes', 'names', 'no-tensors', 'every-dtype']) {
      const whole = readFixture(`${file}.safetensors`)
      for (let length = 0; length < whole.length; length += 1) {
        expect(codeOf(() => readSafetensors(whole.subarray(0, length)))).toBe('MALFORMED_BODY')
      }
      expect(codeOf(() => readSafetensors(join(whole, new Uint8Array(1))))).toBe('MALFORMED_BODY')
    }
  })

  test('is read before the length of the body is known, or compared with it', () => {
    const header = bytes.subarray(0, bytes.length - 4)
    for (const bodyBytes of [null, bytes.length]) {
      const { tensors, dataAt } = readSafetensorsHeader(header, bodyBytes)
      expect(dataAt).toBe(header.length)
      expect(tensors.get('scalar')).toEqual({ elementType: 'float32', shape: [], begin: 0, end: 4 })
    }
    expect(codeOf(() => readSafetensorsHeader(header, bytes.length + 1))).toBe('MALFORMED_BODY')
    expect(codeOf(() => readSafetensorsHeader(header, bytes.length - 1))).toBe('MALFORMED_BODY')
  })
})

describe('writing', () => {
  test('in the order of the Python library makes its bytes', () => {
    for (const file of ['every-dtype', 'shapes', 'no-tensors', 'names']) {
      const bytes = readFixture(`${file}.safetensors`)
      const { tensors, metadata, dataAt } = readSafetensorsHeader(bytes, bytes.length)
      const written = writeSafetensorsHeader(
        [...tensors].map(([name, { elementType, shape }]) => ({ name, elementType, shape })),
        metadata,
      )
      const text = (header: Uint8Array): string => Buffer.from(header).toString('latin1')
      // The library writes metadata in no fixed order.
      if (metadata.size < 2) expect(text(written.header)).toBe(text(bytes.subarray(0, dataAt)))
      expect(readSafetensors(join(written.header, bytes.subarray(dataAt)))).toEqual(readSafetensors(bytes))
      expect(written.ranges).toEqual([...tensors.values()].map(({ begin, end }) => ({ begin, end })))
      expect(written.bodyBytes).toBe(bytes.length)
    }
  })

  test('keeps the given order, also of names that are numbers, and the metadata', () => {
    const names = ['b', '7', '__proto__', 'a/"\\\n', '\u{1f600}', '3']
    const metadata = new Map([
      ['b', '"'],
      ['__proto__', '1'],
      ['1', ''],
    ])
    const { header } = writeSafetensorsHeader(
      names.map((name) => ({ name, elementType: 'uint8', shape: [0] })),
      metadata,
    )
    const read = readSafetensorsHeader(header, header.length)
    expect([...read.tensors.keys()]).toEqual(names)
    expect([...read.metadata]).toEqual([...metadata])
    expect(header.length % 8).toBe(0)
  })

  test('asserts that names are unique and not reserved, and refuses shapes that are too large', () => {
    const a = { name: 'a', elementType: 'uint8' as const, shape: [1] }
    expect(() => writeSafetensorsHeader([a, a])).toThrow(AssertionFailure)
    expect(() => writeSafetensorsHeader([{ ...a, name: '__metadata__' }])).toThrow(AssertionFailure)
    expect(codeOf(() => writeSafetensorsHeader([{ ...a, shape: [2 ** 53] }]))).toBe('SHAPE_MISMATCH')
  })

  test('can be read back for any names, types and shapes', () => {
    const array = fc.record({
      name: fc.string({ unit: 'binary', maxLength: 8 }),
      elementType: fc.constantFrom(...TYPES),
      shape: fc.array(fc.nat({ max: 3 }), { maxLength: 3 }),
    })
    const text = fc.string({ unit: 'binary', maxLength: 8 })
    const metadata = fc.uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 4 })
    fc.assert(
      fc.property(
        fc.uniqueArray(array, { selector: ({ name }) => name, maxLength: 6 }),
        metadata,
        (tensors, pairs) => {
          const { header, ranges, bodyBytes } = writeSafetensorsHeader(tensors, new Map(pairs))
          const data = new Uint8Array(bodyBytes - header.length).map((_, index) => index % 251)
          const body = join(header, data)
          expect(header.length % 8).toBe(0)
          expect(readSafetensorsHeader(body, body.length).metadata).toEqual(new Map(pairs))
          expect([...readSafetensors(body)]).toEqual(
            tensors.map(({ name, elementType, shape }, index) => [
              name,
              { elementType, shape, data: data.slice(ranges[index].begin, ranges[index].end) },
            ]),
          )
        },
      ),
    )
  })
})
