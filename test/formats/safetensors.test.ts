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

const TYPES = Object.keys(ELEMENT_BYTES) as ElementType[]
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** A body with any header text and `dataBytes` zeros. */
const makeBody = (text: string | Uint8Array, dataBytes: number): Uint8Array => {
  const header = Buffer.from(text as string)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return join(length, header, new Uint8Array(dataBytes))
}
const tensor = (dtype: string, shape: string, begin: number | string, end: number | string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`
const codeOfBody = (text: string | Uint8Array, dataBytes: number): string | null =>
  codeOf(() => readSafetensors(makeBody(text, dataBytes)))

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

  const above = [1_048_577n, 2n ** 31n, 2n ** 32n + 8n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]
  test.each(above)('is refused at once when it is %i', (length) => {
    const prefix = new Uint8Array(8)
    new DataView(prefix.buffer).setBigUint64(0, length, true)
    const { code, detail } = refusalOf(() => safetensorsHeaderBytes(prefix))
    expect(code).toBe('MALFORMED_BODY')
    expect(detail).toContain(`${length} bytes; the limit is 1048576`)
  })

  test('may be as large as the limit', () => {
    expect(readSafetensors(makeBody('{}'.padEnd(LIMITS.safetensorsHeaderBytesMax), 0)).size).toBe(0)
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

describe('the JSON of a safetensors header', () => {
  test.each([
    [`{"a":${tensor('U8', '[4]', 0, 4)}}`],
    [`{"a":${tensor('U8', '[4]', 0, 4)}}      `],
    [`{ "a" :\t{ "data_offsets" : [ 0 , 4 ] ,\n"shape" : [ 2 , 2 ] ,\r\n"dtype" : "U8" } }`],
    [`{"\\u0061":{"\\u0064type":"U\\u0038","shape":[4],"data_offsets":[0,4]}}`],
    [`{"__metadata__":{},"a":${tensor('I32', '[]', 0, 4)}}`],
    [`{"a":${tensor('U8', '[1,1,1,1,1,1,1,4]', 0, 4)}}`],
  ])('is read: %j', (text) => {
    expect(readSafetensors(makeBody(text, 4)).get('a')?.data.length).toBe(4)
  })

  const good = tensor('U8', '[4]', 0, 4)
  test.each([
    '',
    ' ',
    ` {"a":${good}}`,
    `\ufeff{"a":${good}}`,
    `[${good}]`,
    '"a"',
    'null',
    `{"a":${good}`,
    `{"a":${good}}}`,
    `{"a":${good}} x`,
    `{"a":${good}}\n`,
    `{"a":${good}}\0`,
    `{"a":${good},}`,
    `{,"a":${good}}`,
    `{"a":${good} "b":${good}}`,
    `{"a" ${good}}`,
    `{"a"}`,
    '{"a":}',
    `{a:${good}}`,
    `{'a':${good}}`,
    `{"a:${good}}`,
    '{"a',
    '{"a\\',
    '{"a\\"',
    '{1',
    '{"a":1}',
    '{"a":null}',
    '{"a":[]}',
    '{"a":"b"}',
    `{"a\n":${good}}`,
    `{"a\\x":${good}}`,
    `{"\\ud800":${good}}`,
    `{"\\udc00\\ud800":${good}}`,
    '{"a":{}}',
    '{"a":{"dtype":"U8","shape":[4]}}',
    '{"a":{"dtype":"U8","data_offsets":[0,4]}}',
    '{"a":{"shape":[4],"data_offsets":[0,4]}}',
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"extra":1}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"__proto__":1}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"shape":[4]}}`,
    `{"a":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}`,
    `{"a":{"dtype":null,"shape":[4],"data_offsets":[0,4]}}`,
    `{"a":{"dtype":"U8","shape":4,"data_offsets":[0,4]}}`,
    `{"a":${tensor('U8', '[-4]', 0, 4)}}`,
    `{"a":${tensor('U8', '[4.0]', 0, 4)}}`,
    `{"a":${tensor('U8', '[4e0]', 0, 4)}}`,
    `{"a":${tensor('U8', '["4"]', 0, 4)}}`,
    `{"a":${tensor('U8', '[[4]]', 0, 4)}}`,
    `{"a":${tensor('U8', '[4,]', 0, 4)}}`,
    `{"a":${tensor('U8', '[,4]', 0, 4)}}`,
    `{"a":${tensor('U8', '[04]', 0, 4)}}`,
    `{"a":${tensor('U8', '[4', 0, 4)}}`,
    `{"a":${tensor('U8', '[true]', 0, 4)}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0]}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4,4]}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":4}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[]}}`,
    `{"a":${tensor('U8', '[4]', '-0', 4)}}`,
    '{"__metadata__":null}',
    '{"__metadata__":[]}',
    '{"__metadata__":{"a":1}}',
    '{"__metadata__":{"a":{}}}',
    '{"__metadata__":{"a":null}}',
  ])('is MALFORMED_BODY: %j', (text) => {
    expect(codeOfBody(text, 4)).toBe('MALFORMED_BODY')
  })

  test('is refused with the array and the unknown member in it', () => {
    const { detail } = refusalOf(() => readSafetensors(makeBody('{"a":{"dtype":"U8","extra":1}}', 4)))
    expect(detail).toBe('the safetensors array "a" has "extra"; known are dtype, shape and data_offsets')
  })

  test('is MALFORMED_BODY when it is not UTF-8, instead of a name with U+FFFD', () => {
    const text = Buffer.from(`{"a?":${good}}`)
    text[3] = 0xff
    expect(codeOfBody(text, 4)).toBe('MALFORMED_BODY')
  })

  test('is MALFORMED_BODY when a name occurs twice, however it is escaped', () => {
    const twice = (first: string, second: string): string =>
      `{"${first}":${tensor('U8', '[4]', 0, 4)},"${second}":${tensor('U8', '[4]', 4, 8)}}`
    expect(codeOfBody(twice('a', 'b'), 8)).toBe(null)
    expect(codeOfBody(twice('a', 'a'), 8)).toBe('MALFORMED_BODY')
    expect(codeOfBody(twice('a', '\\u0061'), 8)).toBe('MALFORMED_BODY')
    expect(codeOfBody(twice('__proto__', '__proto__'), 8)).toBe('MALFORMED_BODY')
    expect(codeOfBody('{"__metadata__":{},"__metadata__":{}}', 0)).toBe('MALFORMED_BODY')
    expect(codeOfBody('{"__metadata__":{"a":"1","a":"2"}}', 0)).toBe('MALFORMED_BODY')
    expect(refusalOf(() => readSafetensors(makeBody(twice('a', 'a'), 8))).detail).toContain(
      'the name "a" twice',
    )
  })

  test.each(['F8_E4M3', 'C64', 'f32', 'F128', 'float32', '', 'constructor', 'BOOL '])(
    'is DTYPE_MISMATCH when a dtype is %j',
    (dtype) => {
      expect(codeOfBody(`{"a":${tensor(dtype, '[4]', 0, 4)}}`, 4)).toBe('DTYPE_MISMATCH')
    },
  )

  test.each([
    '[9007199254740992]',
    '[4503599627370496,2]',
    '[1099511627776,1099511627776,0]',
    '[0,9007199254740993]',
    '[2251799813685248]',
    '[1,1,1,1,1,1,1,1,1,4]',
    `[${'1,'.repeat(1000)}4]`,
    `[${'9'.repeat(400)}]`,
  ])('is SHAPE_MISMATCH when a shape is %s', (shape) => {
    expect(codeOfBody(`{"a":${tensor('F32', shape, 0, 4)}}`, 4)).toBe('SHAPE_MISMATCH')
  })

  test('may have 1,024 arrays and as many pairs of metadata, and is refused with 1,025 of either', () => {
    const members = (count: number, value: string): string =>
      Array.from({ length: count }, (_, index) => `"${index}":${value}`).join(',')
    const arrays = (count: number): string => members(count, tensor('U8', '[0]', 0, 0))
    const pairs = (count: number): string => `"__metadata__":{${members(count, '""')}}`
    expect(readSafetensors(makeBody(`{${pairs(1024)},${arrays(1024)}}`, 0)).size).toBe(1024)
    expect(codeOfBody(`{${arrays(1025)}}`, 0)).toBe('MALFORMED_BODY')
    expect(codeOfBody(`{${pairs(0)},${arrays(1025)}}`, 0)).toBe('MALFORMED_BODY')
    expect(codeOfBody(`{${pairs(1025)}}`, 0)).toBe('MALFORMED_BODY')
  })
})

describe('the offsets of safetensors arrays', () => {
  type Place = [shape: string, begin: number | string, end: number | string]
  const codeOfTensors = (dataBytes: number, ...places: Place[]): string | null => {
    const members = places.map(
      ([shape, begin, end], index) => `"${index}":${tensor('U8', shape, begin, end)}`,
    )
    return codeOfBody(`{${members.join(',')}}`, dataBytes)
  }

  test('may be in any order of the names', () => {
    const text = `{"b":${tensor('U8', '[2]', 1, 3)},"a":${tensor('U8', '[1]', 0, 1)}}`
    const bytes = makeBody(text, 3)
    bytes.set([1, 2, 3], bytes.length - 3)
    const arrays = readSafetensors(bytes)
    expect(arrays.get('a')?.data).toEqual(new Uint8Array([1]))
    expect(arrays.get('b')?.data).toEqual(new Uint8Array([2, 3]))
    expect([...arrays.keys()]).toEqual(['b', 'a'])
    expect(codeOfTensors(4, ['[2]', 2, 4], ['[0]', 2, 2], ['[2]', 0, 2], ['[0]', 0, 0], ['[0]', 4, 4])).toBe(
      null,
    )
    expect(codeOfTensors(2, ['[2]', 0, 2], ['[0]', 0, 0])).toBe(null)
  })

  test('must leave no gap, not overlap, begin at 0 and end with the body', () => {
    expect(codeOfTensors(4, ['[2]', 0, 2], ['[2]', 2, 4])).toBe(null)
    expect(codeOfTensors(4, ['[1]', 0, 1], ['[2]', 2, 4])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[3]', 0, 3], ['[2]', 2, 4])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', 0, 4], ['[4]', 0, 4])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', 0, 4], ['[0]', 2, 2])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[3]', 1, 4])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[3]', 0, 3])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[5]', 0, 5])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(1)).toBe('MALFORMED_BODY')
  })

  test('must span as many bytes as the shape has', () => {
    const detail = refusalOf(() => readSafetensors(makeBody(`{"a":${tensor('F32', '[1]', 0, 8)}}`, 8))).detail
    expect(detail).toBe('the safetensors array "a" takes 4 bytes, but its data_offsets [0,8] hold 8')
    expect(codeOfTensors(4, ['[3]', 0, 4])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', 4, 0])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(0, ['[0]', 9_007_199_254_740_991, 9_007_199_254_740_991])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', '9007199254740992', '9007199254740996'])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', '9'.repeat(400), '9'.repeat(400)])).toBe('MALFORMED_BODY')
  })
})

describe('a safetensors header that we write', () => {
  test('equals that of the Python library when the arrays are in its order', () => {
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
