import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { ELEMENT_BYTES } from '../../src/core/types.ts'
import type { ElementType } from '../../src/core/types.ts'
import { npyHeaderBytes, readNpy, readNpyHeader, writeNpyHeader } from '../../src/formats/npy.ts'
import { bytesOf, codeOf, COUNTING, misalign, readFixture, refusalOf } from './refusal.ts'

const NPY_TYPES = (Object.keys(ELEMENT_BYTES) as ElementType[]).filter(
  (elementType) => elementType !== 'bfloat16',
)

/** A body of version `major` with this header text and `dataBytes` zeros, without padding. */
const makeBody = (text: string, dataBytes: number, major = 1): Uint8Array => {
  const lengthBytes = major === 1 ? 2 : 4
  const body = Buffer.alloc(8 + lengthBytes + text.length + dataBytes)
  body.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, major, 0])
  body.writeUIntLE(text.length, 8, lengthBytes)
  body.write(text, 8 + lengthBytes, 'latin1')
  return body
}
const literal = (descr: string, shape: string, order = 'False'): string =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}}`
const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

describe('an npy file of NumPy is read:', () => {
  test.each(NPY_TYPES)('%s', (elementType) => {
    const array = readNpy(readFixture(`${elementType}.npy`))
    expect(array).toEqual({ elementType, shape: [2, 3], data: bytesOf(COUNTING[elementType]) })
  })

  test('versions 2 and 3, whose header lengths have four bytes', () => {
    for (const file of ['version-2.npy', 'version-3.npy']) {
      const bytes = readFixture(file)
      expect(readNpy(bytes)).toEqual({
        elementType: 'float32',
        shape: [2, 3],
        data: bytesOf(COUNTING.float32),
      })
      expect(npyHeaderBytes(bytes)).toBe(bytes.length - 24)
    }
  })

  test('a scalar, a vector and an empty array', () => {
    expect(readNpy(readFixture('scalar.npy'))).toEqual({
      elementType: 'float64',
      shape: [],
      data: bytesOf(new Float64Array([2.5])),
    })
    expect(readNpy(readFixture('vector.npy'))).toEqual({
      elementType: 'int32',
      shape: [3],
      data: bytesOf(new Int32Array([3, -1, 7])),
    })
    expect(readNpy(readFixture('empty.npy'))).toEqual({
      elementType: 'int64',
      shape: [0, 3],
      data: new Uint8Array(0),
    })
  })

  test('in column order or big-endian, as the same array', () => {
    expect(readNpy(readFixture('fortran.npy'))).toEqual({
      elementType: 'float32',
      shape: [2, 3],
      data: bytesOf(COUNTING.float32),
    })
    expect(readNpy(readFixture('big-endian.npy'))).toEqual({
      elementType: 'int32',
      shape: [2, 3],
      data: bytesOf(COUNTING.int32),
    })
  })

  test('its header states the position and size of the elements', () => {
    const bytes = readFixture('int64.npy')
    expect(readNpyHeader(bytes.subarray(0, 128))).toEqual({
      elementType: 'int64',
      shape: [2, 3],
      dataAt: 128,
      dataBytes: 48,
    })
  })

  test('its data is a view of the body, also of a Buffer at an odd address', () => {
    const bytes = misalign(readFixture('float32.npy'))
    const { data } = readNpy(bytes)
    expect(data).toEqual(bytesOf(COUNTING.float32))
    expect(data.buffer).toBe(bytes.buffer)
    expect(Buffer.isBuffer(data)).toBe(false)
  })
})

describe('an npy file of NumPy is refused:', () => {
  test.each(['structured', 'unicode', 'string', 'complex', 'datetime', 'void', 'object'])(
    '%s elements as DTYPE_MISMATCH',
    (file) => {
      expect(codeOf(() => readNpy(readFixture(`${file}.npy`)))).toBe('DTYPE_MISMATCH')
    },
  )

  test('void of two bytes, which bfloat16 becomes, with a hint at safetensors', () => {
    for (const descr of ['<V2', '|V2']) {
      const { code, detail } = refusalOf(() => readNpy(makeBody(literal(descr, '(1,)'), 2)))
      expect(code).toBe('DTYPE_MISMATCH')
      expect(detail).toContain('bfloat16 cannot be carried by npy, use application/x-safetensors')
    }
    expect(refusalOf(() => readNpy(makeBody(literal('|V20', '(1,)'), 20))).detail).not.toContain('bfloat16')
  })
})

describe('the beginning of an npy body', () => {
  const bytes = readFixture('float32.npy')

  test('states the length of the header within the first 12 bytes', () => {
    for (let length = 0; length < 10; length += 1)
      expect(npyHeaderBytes(bytes.subarray(0, length))).toBe(null)
    expect(npyHeaderBytes(bytes.subarray(0, 10))).toBe(128)
    expect(npyHeaderBytes(readFixture('version-2.npy').subarray(0, 11))).toBe(null)
    expect(npyHeaderBytes(readFixture('version-2.npy').subarray(0, 12))).toBe(128)
  })

  test('is refused at the first wrong byte of the magic', () => {
    for (let index = 0; index < 6; index += 1) {
      const wrong = bytes.slice(0, index + 1)
      wrong[index] ^= 1
      expect(codeOf(() => npyHeaderBytes(wrong))).toBe('MALFORMED_BODY')
    }
  })

  test.each([
    [0, 0],
    [4, 0],
    [255, 0],
    [1, 1],
    [2, 1],
    [3, 255],
  ])('is refused at version %i.%i', (major, minor) => {
    const wrong = bytes.slice(0, 8)
    wrong.set([major, minor], 6)
    expect(codeOf(() => npyHeaderBytes(wrong))).toBe('MALFORMED_BODY')
    if (major < 1 || major > 3)
      expect(codeOf(() => npyHeaderBytes(wrong.subarray(0, 7)))).toBe('MALFORMED_BODY')
  })

  test('may announce a header of 10,000 bytes, and is refused at 10,001 before they arrive', () => {
    const text = literal('<f4', '(1,)')
    expect(readNpy(makeBody(text.padEnd(10_000), 4)).shape).toEqual([1])
    for (const major of [1, 2]) {
      expect(codeOf(() => npyHeaderBytes(makeBody(text.padEnd(10_001), 4, major).subarray(0, 12)))).toBe(
        'MALFORMED_BODY',
      )
    }
    const huge = makeBody(text, 4, 2)
    huge.set([255, 255, 255, 255], 8)
    expect(refusalOf(() => readNpy(huge)).detail).toContain('4294967295')
  })

  test('is MALFORMED_BODY when the body is cut anywhere', () => {
    for (const file of ['float32.npy', 'version-3.npy', 'scalar.npy']) {
      const whole = readFixture(file)
      for (let length = 0; length < whole.length; length += 1) {
        expect(codeOf(() => readNpy(whole.subarray(0, length)))).toBe('MALFORMED_BODY')
      }
    }
  })

  test('is refused with the actual and expected length when the header is cut', () => {
    expect(refusalOf(() => readNpyHeader(bytes.subarray(0, 100))).detail).toMatch(/100 bytes, expected 128$/)
    expect(refusalOf(() => readNpyHeader(bytes.subarray(0, 9))).detail).toMatch(
      /9 bytes, expected at least 12$/,
    )
  })

  test('is refused with both lengths when elements are missing or left over', () => {
    expect(refusalOf(() => readNpy(bytes.subarray(0, -1)))).toEqual({
      code: 'MALFORMED_BODY',
      detail: 'the npy header announces 24 bytes of elements, the body has 23',
    })
    expect(refusalOf(() => readNpy(join(bytes, new Uint8Array(1)))).detail).toContain('the body has 25')
  })
})

describe('the Python literal in an npy header', () => {
  test.each([
    ["{'shape': (2,), 'fortran_order': False, 'descr': '<i2'}", [2]],
    ['{"descr": "<i2", "fortran_order": False, "shape": (2,)}', [2]],
    ['{"descr": \'<i2\', \'fortran_order\': False, "shape": (2,),}', [2]],
    ["{'descr':'<i2','fortran_order':False,'shape':(2,1)}", [2, 1]],
    ["  { 'descr' : '<i2' ,\t'fortran_order' : True , 'shape' : ( 2 , ) , }\r\n ", [2]],
    ["{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1,), }", [2, 1]],
    ["{'descr': '<i2', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 2)}", [1, 1, 1, 1, 1, 1, 1, 2]],
  ])('%s is read without any padding', (text, shape) => {
    expect(readNpy(makeBody(text, 4))).toEqual({ elementType: 'int16', shape, data: new Uint8Array(4) })
  })

  test.each([
    ['=f4', 'float32'],
    ['f4', 'float32'],
    ['|f4', 'float32'],
    ['float32', 'float32'],
    ['single', 'float32'],
    ['f', 'float32'],
    ['<d', 'float64'],
    ['l', 'int64'],
    ['uint8', 'uint8'],
    ['>u1', 'uint8'],
    ['?', 'bool'],
  ])('may name the elements %s, as numpy.dtype reads it', (descr, elementType) => {
    const byteCount = ELEMENT_BYTES[elementType as ElementType]
    expect(readNpy(makeBody(literal(descr, '(1,)'), byteCount)).elementType).toBe(elementType)
  })

  test.each(['>float32', '!f4', 'F4', 'Float32', 'f1', 'f16', 'bool8', ' <f4', ''])(
    'is DTYPE_MISMATCH with elements of %j, as in NumPy',
    (descr) => expect(codeOf(() => readNpy(makeBody(literal(descr, '(1,)'), 4)))).toBe('DTYPE_MISMATCH'),
  )

  test('may be of Python 2: dimensions with an L, up to version 2, and strings with a u', () => {
    const text = literal('<f4', '(3L, 1L)')
    expect(readNpy(makeBody(text, 12)).shape).toEqual([3, 1])
    expect(readNpy(makeBody(text, 12, 2)).shape).toEqual([3, 1])
    expect(codeOf(() => readNpy(makeBody(text, 12, 3)))).toBe('MALFORMED_BODY')
    expect(readNpy(makeBody(text.replaceAll(/'(?=[ds<f])/g, "u'"), 12)).shape).toEqual([3, 1])
  })

  test('may mark single bytes as little-endian, as cnpy does', () => {
    for (const [descr, elementType] of [
      ['<i1', 'int8'],
      ['<u1', 'uint8'],
      ['<b1', 'bool'],
    ]) {
      expect(readNpy(makeBody(literal(descr, '(1,)'), 1)).elementType).toBe(elementType)
    }
  })

  test.each([
    '',
    '{}',
    '[]',
    'None',
    literal('<f4', '(1,)').slice(1),
    literal('<f4', '(1,)').slice(0, -1),
    `${literal('<f4', '(1,)')} x`,
    `${literal('<f4', '(1,)')}}`,
    `${literal('<f4', '(1,)')}\0`,
    "{'descr': '<f4', 'fortran_order': False}",
    "{'descr': '<f4', 'shape': (1,)}",
    "{'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,)}",
    "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'extra': 1}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), '__proto__': '<f4'}",
    "{'descr': '<f4' 'fortran_order': False, 'shape': (1,)}",
    "{'descr' '<f4', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4',, 'fortran_order': False, 'shape': (1,)}",
    "{, 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': , 'shape': (1,)}",
    "{xdescrx: '<f4', 'fortran_order': False, 'shape': (1,)}",
    "{descr: '<f4', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': <f4, 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4\", 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape\": (1,)}",
    "{'descr': 4, 'fortran_order': False, 'shape': (1,)}",
    "{'descr':",
    literal('<f4', '(1,)', 'false'),
    literal('<f4', '(1,)', '0'),
    literal('<f4', '(1,)', 'TrueFalse'),
    literal('<f4', '(1,)', "'False'"),
    literal('<f4', '(1)'),
    literal('<f4', '1'),
    literal('<f4', '[1]'),
    literal('<f4', '(,)'),
    literal('<f4', '(1,,)'),
    literal('<f4', '(1 1)'),
    literal('<f4', '(1, 1'),
    literal('<f4', '(-1,)'),
    literal('<f4', '(1.0,)'),
    literal('<f4', '(01,)'),
    literal('<f4', '(True,)'),
    literal('<f4', '(1_0,)'),
    literal('<f4', '(0x1,)'),
    literal('<f4', "('1',)"),
    literal('<f4', '((1,),)'),
  ])('%s is MALFORMED_BODY', (text) => {
    expect(codeOf(() => readNpy(makeBody(text, 4)))).toBe('MALFORMED_BODY')
  })

  test('is refused with the expected token and its position', () => {
    expect(refusalOf(() => readNpy(makeBody("{'descr': '<f4", 4))).detail).toBe(
      'the npy header: expected a string with an end at character 10, found "\'"',
    )
  })

  test.each([
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
    "{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}",
    "{'descr': {'names': []}, 'fortran_order': False, 'shape': (1,)}",
    literal('', '(1,)'),
    literal('<f16', '(1,)'),
    literal('|O', '(1,)'),
    literal('<f4 ', '(1,)'),
    literal('toString', '(1,)'),
    literal('<\xb54', '(1,)'),
  ])('%s is DTYPE_MISMATCH', (text) => {
    expect(codeOf(() => readNpy(makeBody(text, 4)))).toBe('DTYPE_MISMATCH')
  })

  test.each([
    '(9007199254740992,)',
    '(4503599627370496, 2)',
    '(1099511627776, 1099511627776, 0)',
    '(2251799813685248,)',
    '(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)',
    `(${'9'.repeat(400)},)`,
  ])('the shape %s is SHAPE_MISMATCH', (shape) => {
    expect(codeOf(() => readNpy(makeBody(literal('<f4', shape), 4)))).toBe('SHAPE_MISMATCH')
  })

  test('may state column order when the shape has only one order', () => {
    expect(readNpy(makeBody(literal('<f4', '(1,)', 'True'), 4)).shape).toEqual([1])
    expect(readNpy(makeBody(literal('<f4', '()', 'True'), 4)).shape).toEqual([])
    const body = makeBody(literal('<f4', '(1, 3, 1)', 'True'), 12)
    expect(readNpy(body).data.buffer).toBe(body.buffer)
    expect(readNpyHeader(makeBody(literal('<f4', '(0, 3)', 'True'), 0))).not.toHaveProperty('isColumnOrder')
  })
})

describe('an npy header that we write', () => {
  test('equals that of NumPy, byte for byte', () => {
    const url = new URL('fixtures/npy-headers.json', import.meta.url)
    const headers = JSON.parse(readFileSync(url, 'utf8')) as {
      elementType: ElementType
      shape: number[]
      header: string
    }[]
    for (const { elementType, shape, header } of headers) {
      expect(Buffer.from(writeNpyHeader(elementType, shape)).toString('latin1')).toBe(header)
    }
    expect(headers.length).toBeGreaterThan(90)
  })

  test('followed by the elements equals the file of np.save', () => {
    for (const elementType of NPY_TYPES) {
      expect(join(writeNpyHeader(elementType, [2, 3]), bytesOf(COUNTING[elementType]))).toEqual(
        readFixture(`${elementType}.npy`),
      )
    }
  })

  test('is refused as NOT_ACCEPTABLE for bfloat16', () => {
    const { code, detail } = refusalOf(() => writeNpyHeader('bfloat16', [1]))
    expect(code).toBe('NOT_ACCEPTABLE')
    expect(detail).toContain('bfloat16')
  })

  test('can be read back for any type and shape', () => {
    const shapes = fc.array(fc.nat({ max: 6 }), { maxLength: 4 })
    fc.assert(
      fc.property(
        fc.constantFrom(...NPY_TYPES),
        shapes,
        fc.uint8Array({ minLength: 1, maxLength: 9 }),
        (elementType, shape, seed) => {
          const data = new Uint8Array(
            shape.reduce((product, dimension) => product * dimension, ELEMENT_BYTES[elementType]),
          )
          data.forEach((_, index) => (data[index] = seed[index % seed.length]))
          expect(readNpy(join(writeNpyHeader(elementType, shape), data))).toEqual({
            elementType,
            shape,
            data,
          })
        },
      ),
    )
  })
})
