import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ELEMENT_BYTES } from '../../src/core/types.ts'
import { npyHeaderBytes, readNpy } from '../../src/formats/npy.ts'
import { readSafetensors, safetensorsHeaderBytes } from '../../src/formats/safetensors.ts'
import type { TypedBytes } from '../../src/formats/shape.ts'
import { codeOf, readFixture } from './refusal.ts'
import { runsOf } from '../helpers/property-runs.ts'

type Edit = { at: number; remove: number; insert: Uint8Array }

const latin1 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))
const PIECES = [
  '{',
  '}',
  '[',
  ']',
  '(',
  ')',
  '"',
  "'",
  '\\',
  ',',
  ':',
  ' ',
  '\n',
  '\0',
  '\xff',
  '0',
  '1',
  '-1',
  '9007199254740992',
  '4294967296',
  '1e9',
  'True',
  'null',
  'F32',
  'U8',
  '<f4',
  '|O',
  '"dtype"',
  '"shape"',
  '"a":',
  '\\ud800',
  '__proto__',
  '\x93NUMPY\x01\0',
  '\xff\xff\xff\xff',
].map(latin1)

/**
 * Makes a few changes to a valid body: bytes are replaced, removed or inserted, also by tokens of the
 * formats.
 */
const edits: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({
    at: fc.nat({ max: 1200 }),
    remove: fc.oneof(fc.constantFrom(0, 1, 2), fc.nat({ max: 64 })),
    insert: fc.oneof(fc.constantFrom(...PIECES), fc.uint8Array({ maxLength: 4 })),
  }),
  { minLength: 1, maxLength: 4 },
)

const applyEdits = (source: Uint8Array, list: Edit[], keepLength: boolean): Uint8Array => {
  let bytes = Buffer.from(source)
  for (const { at, remove, insert } of list) {
    const start = at % (bytes.length + 1)
    const end = keepLength ? start + insert.length : start + remove
    bytes = Buffer.concat([bytes.subarray(0, start), insert, bytes.subarray(end)])
  }
  return new Uint8Array(bytes)
}

/** Checks an accepted array: it is a view of the body, with the length that its type and shape demand. */
const checkArray = (array: TypedBytes, body: Uint8Array): void => {
  const bytes = array.shape.reduce(
    (product, dimension) => product * dimension,
    ELEMENT_BYTES[array.elementType],
  )
  check(array.data.buffer === body.buffer, 'a view of the body')
  check(
    array.shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0),
    'dimensions',
  )
  check(array.shape.length <= 8 && array.data.length === bytes, 'as many bytes as the shape has')
}

/**
 * Runs `action`, which may be refused with one of three codes. It avoids `expect`, which would take most of
 * the time.
 */
const checkRefusal = (action: () => unknown): void => {
  const code = codeOf(action)
  if (![null, 'MALFORMED_BODY', 'DTYPE_MISMATCH', 'SHAPE_MISMATCH'].includes(code))
    throw new Error(`refused as ${code}`)
}
const check = (condition: boolean, what: string): void => {
  if (!condition) throw new Error(what)
}
const RUNS = { numRuns: runsOf({ quick: 2_000, long: 20_000 }) }

describe('a corrupted body is either read or refused with one of three codes:', () => {
  test('npy bodies', () => {
    const names = ['float32', 'int64', 'scalar', 'empty', 'version-2', 'version-3', 'structured', 'object']
    const sources = names.map((name) => readFixture(`${name}.npy`))
    fc.assert(
      fc.property(fc.constantFrom(...sources), edits, fc.boolean(), (source, list, keepLength) => {
        const body = applyEdits(source, list, keepLength)
        checkRefusal(() => npyHeaderBytes(body))
        checkRefusal(() => checkArray(readNpy(body), body))
      }),
      RUNS,
    )
  })

  test('safetensors bodies', () => {
    const sources = ['every-dtype', 'names', 'shapes', 'no-tensors', 'float8'].map((name) =>
      readFixture(`${name}.safetensors`),
    )
    fc.assert(
      fc.property(
        fc.constantFrom(...sources),
        edits,
        fc.boolean(),
        fc.boolean(),
        (source, list, keepLength, keepHeader) => {
          const body = applyEdits(source, list, keepLength)
          // A wrong header length is refused at once; corrected, it lets the body reach the other checks.
          if (keepHeader && body.length >= 8) {
            new DataView(body.buffer).setBigUint64(
              0,
              BigInt(Math.max(0, Buffer.from(body).indexOf('}}') + 2 - 8)),
              true,
            )
          }
          checkRefusal(() => safetensorsHeaderBytes(body))
          checkRefusal(() => {
            const arrays = readSafetensors(body)
            for (const array of arrays.values()) checkArray(array, body)
            const dataBytes = [...arrays.values()].reduce((sum, { data }) => sum + data.length, 0)
            check(dataBytes === body.length - safetensorsHeaderBytes(body)!, 'every byte in one array')
          })
        },
      ),
      RUNS,
    )
  })

  test('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (body) => {
        checkRefusal(() => readNpy(body))
        checkRefusal(() => readSafetensors(body))
      }),
      RUNS,
    )
  })
})

describe('reading a large header takes memory in proportion to its size:', () => {
  const HEADER_BYTES = 2 ** 20
  const wrap = (text: string): Uint8Array => {
    const header = Buffer.from(text)
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(header.length))
    return new Uint8Array(Buffer.concat([length, header]))
  }
  const one = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
  const name = 'a'.repeat(HEADER_BYTES - 100)

  test.each([
    ['spaces', wrap('{}'.padEnd(HEADER_BYTES)), null],
    ['one name', wrap(`{"${name}":${one}}`), null],
    ['open string', wrap(`{"${name}`), 'MALFORMED_BODY'],
    ['backslashes', wrap(`{"${'\\\\'.repeat(500_000)}`), 'MALFORMED_BODY'],
    ['dimensions', wrap(`{"a":{"shape":[${'1,'.repeat(500_000)}1]}}`), 'SHAPE_MISMATCH'],
    ['digits', wrap(`{"a":{"shape":[${'1'.repeat(1_000_000)}]}}`), 'MALFORMED_BODY'],
    ['depth', wrap('{"a":'.repeat(200_000)), 'MALFORMED_BODY'],
    ['depth of lists', wrap(`{"a":{"shape":${'['.repeat(1_000_000)}`), 'MALFORMED_BODY'],
    [
      'metadata',
      wrap(`{"__metadata__":{${Array.from({ length: 100_000 }, (_, index) => `"${index}":""`).join(',')}}}`),
      'MALFORMED_BODY',
    ],
  ] as const)('%s', (_, body, code) => {
    // The first run compiles the code. The bound is twice the body, and 1 MiB for the test runner.
    codeOf(() => readSafetensors(body))
    const before = process.memoryUsage()
    expect(codeOf(() => readSafetensors(body))).toBe(code)
    const after = process.memoryUsage()
    const grown = after.heapUsed + after.external - before.heapUsed - before.external
    expect(grown).toBeLessThan(2 * body.length + 2 ** 20)
  })

  test('nothing is allocated for data that a header announces and the body lacks', () => {
    const announced = wrap('{"a":{"dtype":"F64","shape":[16777216,8],"data_offsets":[0,1073741824]}}')
    const before = process.memoryUsage().arrayBuffers
    expect(codeOf(() => readSafetensors(announced))).toBe('MALFORMED_BODY')
    const text = "{'descr': '<f8', 'fortran_order': False, 'shape': (16777216, 8)}"
    expect(codeOf(() => readNpy(latin1(`\x93NUMPY\x01\0${String.fromCharCode(text.length)}\0${text}`)))).toBe(
      'MALFORMED_BODY',
    )
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20)
  })
})
