import fc from 'fast-check'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { readJsonObject } from '../../src/formats/json-reader.ts'
import { encode, errorOf, pointersOf, readTensor } from './json-bodies.ts'
import { misalign, refusalOf } from './refusal.ts'

const LONG = process.env.GATHERD_TEST_LONG === '1'

describe('a body that is not JSON is refused with the position of the mistake', () => {
  test.each([
    ['', 0, 'a value'],
    ['   ', 3, 'a value'],
    ['{', 1, 'the name of a member'],
    ['{"a"', 4, "':'"],
    ['{"a" 1}', 5, "':'"],
    ['{"a":', 5, 'a value'],
    ['{"a":}', 5, 'a value'],
    ['{"a":1', 6, "',' or '}'"],
    ['{"a":1,}', 7, 'the name of a member'],
    ['{"a":1 "b":2}', 7, "',' or '}'"],
    ['{a:1}', 1, 'the name of a member'],
    ["{'a':1}", 1, 'the name of a member'],
    ['{,}', 1, 'the name of a member'],
    ['{"a":1}}', 7, 'nothing more'],
    ['{} {}', 3, 'nothing more'],
    ['{}\u0000', 2, 'nothing more'],
    ['{"a":1} // why', 8, 'nothing more'],
    ['{"a":/* why */1}', 5, 'a value'],
    ['{"a":01}', 6, 'no digit after a leading zero'],
    ['{"a":-}', 6, 'a digit'],
    ['{"a":+1}', 5, 'a value'],
    ['{"a":.5}', 5, 'a value'],
    ['{"a":1.}', 7, 'a digit'],
    ['{"a":1.e1}', 7, 'a digit'],
    ['{"a":1e}', 7, 'a digit'],
    ['{"a":1e+}', 8, 'a digit'],
    ['{"a":0x10}', 6, "',' or '}'"],
    ['{"a":1_000}', 6, "',' or '}'"],
    ['{"a":NaN}', 5, 'a value'],
    ['{"a":Infinity}', 5, 'a value'],
    ['{"a":-Infinity}', 6, 'a digit'],
    ['{"a":nul}', 8, 'the rest of null'],
    ['{"a":truth}', 8, 'the rest of true'],
    ['{"a":falsy}', 9, 'the rest of false'],
    ['{"a":nullx}', 9, "',' or '}'"],
    ['{"a":undefined}', 5, 'a value'],
    ['{"a":[1,]}', 8, 'a value'],
    ['{"a":[1,,2]}', 8, 'a value'],
    ['{"a":[,1]}', 6, 'a value'],
    ['{"a":[1 2]}', 8, "',' or ']'"],
    ['{"a":[1}', 7, "',' or ']'"],
    ['{"a":[1', 7, "',' or ']'"],
    ['{"a":[1,', 8, 'a value'],
    ['{"a":[', 6, 'a value'],
    ['{"a":[1]]', 8, "',' or '}'"],
    ['{"a":[[1],]}', 10, 'a value'],
    ['{"a":[[1][2]]}', 9, "',' or ']'"],
    ['{"a":[1],', 9, 'the name of a member'],
    ['{"a":1,2}', 7, 'the name of a member'],
    ['{"a":[01]}', 7, 'no digit after a leading zero'],
    ['{"a":[2,-01]}', 10, 'no digit after a leading zero'],
    ['{"a":[1.]}', 8, 'a digit'],
    ['{"a":[5,1e]}', 10, 'a digit'],
    ['{"a":[-]}', 7, 'a digit'],
    ['{"a":[1x]}', 7, "',' or ']'"],
    ['{"a":[NaN]}', 6, 'a value'],
    ['{"b":"', 6, 'a character of a string, or its end'],
    ['{"b":"\n"}', 6, 'a character of a string, or its end'],
    ['{"b":"\u0000"}', 6, 'a character of a string, or its end'],
    ['{"b":"\\x"}', 7, 'an escape'],
    ['{"b":"\\"}', 9, 'a character of a string, or its end'],
    ['{"b":"\\u12g4"}', 10, 'a hexadecimal digit'],
    ['{"b":"\\u12', 10, 'a hexadecimal digit'],
    ['{"b\\', 4, 'an escape'],
    ['{"b":"é"x}', 9, "',' or '}'"],
    ['{"b":tr', 7, 'the rest of true'],
    ['x', 0, 'a value'],
    ['[1,2', 4, "',' or ']'"],
  ])('%j', (text, at, expected) => {
    for (const body of [encode(text), misalign(encode(text))]) {
      const { code, detail } = refusalOf(() => readJsonObject(body, ['a']))
      expect(code).toBe('MALFORMED_BODY')
      expect(detail).toContain(`expected ${expected} at byte ${at}, found`)
    }
    expect(() => JSON.parse(text)).toThrow(SyntaxError)
  })

  test(
    'if and only if JSON.parse refuses it',
    () => {
      const parts = [
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"a"',
        '"b"',
        '"',
        '1',
        '-',
        '0',
        '.5',
        'e1',
        'true',
        'null',
        ' ',
        '\\u0041',
        '\\',
        '1,2',
        '[1]',
        '"a":[',
      ]
      fc.assert(
        fc.property(fc.array(fc.constantFrom(...parts), { maxLength: 9 }), fc.boolean(), (chosen, inside) => {
          const text = inside ? `{"a":${chosen.join('')}}` : chosen.join('')
          let valid = true
          try {
            JSON.parse(text)
          } catch {
            valid = false
          }
          const { code, detail } = refusalOf(() => readJsonObject(encode(text), ['a']))
          if (valid) expect(code === 'MALFORMED_BODY' && !detail.includes('comes again')).toBe(false)
          else expect(code).toBe('MALFORMED_BODY')
        }),
        { numRuns: LONG ? 1_000_000 : 5_000 },
      )
    },
    LONG ? 600_000 : 30_000,
  )

  test('and bytes behind the end of the body are not read', () => {
    readTensor(`[${'1,'.repeat(1000)}1]`)
    expect(refusalOf(() => readJsonObject(encode('{"a":[1,2'), ['a']))).toEqual({
      code: 'MALFORMED_BODY',
      detail: "the body: expected ',' or ']' at byte 9, found its end",
    })
  })

  test('as MALFORMED_BODY, whatever else is wrong before that position', () => {
    for (const text of ['{"a":["x"],', '{"a":[[1],2],"b"}', '["x"', '{"a":[1,2,3],"b":nul}']) {
      expect(refusalOf(() => readJsonObject(encode(text), ['a'], { valueCountMax: 2 })).code).toBe(
        'MALFORMED_BODY',
      )
    }
  })

  test.each([
    [[0xff], 0],
    [[0x7b, 0x7d, 0xc3], 2],
    [[...encode('{"é😀":"'), 0xe2, 0x82, ...encode('"}')], 11],
    [[...encode('{"b":"é'), 0xed, 0xa0, 0x80], 8],
    [[...encode('{"b":"'), 0xc0, 0x80], 6],
    [[...encode('{"b":"'), 0xf4, 0x90, 0x80, 0x80], 6],
  ])('when its bytes are not UTF-8: %j', (bytes, at) => {
    expect(refusalOf(() => readJsonObject(Uint8Array.from(bytes), []))).toEqual({
      code: 'MALFORMED_BODY',
      detail: `the body: not UTF-8 at byte ${at}`,
    })
  })

  test('at the first byte that is not UTF-8, wherever that byte is', () => {
    const characters = fc.array(fc.constantFrom('a', 'é', '€', '😀'), { maxLength: 40 })
    fc.assert(
      fc.property(
        characters,
        fc.constantFrom([0xff], [0xc3], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0x80]),
        characters,
        (before, wrong, after) => {
          const prefix = encode(before.join(''))
          const body = Uint8Array.from([...prefix, ...wrong, 0x41, ...encode(after.join(''))])
          expect(refusalOf(() => readJsonObject(body, [])).detail).toBe(
            `the body: not UTF-8 at byte ${prefix.length}`,
          )
        },
      ),
    )
  })

  test('when a name occurs twice in an object', () => {
    for (const text of [
      '{"a":1,"a":2}',
      '{"x":{"a":1,"a":2}}',
      '{"\\u0061":1,"a":2}',
      '{"a":[1],"a":[1]}',
      '{"__proto__":1,"__proto__":2}',
    ]) {
      const { code, detail } = refusalOf(() => readJsonObject(encode(text), ['a']))
      expect(code).toBe('MALFORMED_BODY')
      expect(detail).toMatch(/the member "(a|__proto__)" comes again at byte \d+/)
    }
  })

  test('when it is nested too deeply', () => {
    const nest = (open: string, close: string, depth: number): string =>
      `{"a":${open.repeat(depth - 1)}${close.repeat(depth - 1)}}`
    for (const names of [[], ['a']]) {
      const read = (depth: number): unknown => readJsonObject(encode(nest('[', ']', depth)), names)
      expect(refusalOf(() => read(LIMITS.jsonDepthMax)).code).toBeNull()
      expect(refusalOf(() => read(LIMITS.jsonDepthMax + 1))).toEqual({
        code: 'MALFORMED_BODY',
        detail: `the body: nested deeper than ${LIMITS.jsonDepthMax} at byte ${LIMITS.jsonDepthMax + 4}`,
      })
    }
    const objects = `{"b":${'{"b":'.repeat(LIMITS.jsonDepthMax)}1${'}'.repeat(LIMITS.jsonDepthMax + 1)}`
    expect(refusalOf(() => readJsonObject(encode(objects), [])).code).toBe('MALFORMED_BODY')
    expect(refusalOf(() => readJsonObject(encode('{"a":[[1]]}'), ['a'], { depthMax: 2 })).code).toBe(
      'MALFORMED_BODY',
    )
    expect(refusalOf(() => readJsonObject(encode(`{"a":${'['.repeat(1_000_000)}`), ['a'])).code).toBe(
      'MALFORMED_BODY',
    )
  })
})

describe('a body that is JSON of another form is refused with a pointer:', () => {
  test.each([
    ['"1"', '', 'a string'],
    ['null', '', 'null'],
    ['true', '', 'a boolean'],
    ['{}', '', 'an object'],
    ['["1"]', '/0', 'a string'],
    ['[1,"NaN"]', '/1', 'a string'],
    ['[[1,2],[3,null]]', '/1/1', 'null'],
    ['[[1,2],null]', '/1', 'null'],
    ['[[[0],[1]],[[2],[false]]]', '/1/1/0', 'a boolean'],
    ['[0,1,2,{"a":1}]', '/3', 'an object'],
  ])('an element that is not a number: %s', (json, path, kind) => {
    const error = errorOf(() => readTensor(json))
    expect(error.code).toBe('INVALID_REQUEST')
    const expected = path === '' ? 'a number or a list of numbers' : 'a number'
    expect(error.errors).toEqual([
      { pointer: `/indices${path}`, detail: `expected ${expected}, got ${kind}` },
    ])
  })

  test.each([
    ['[1,[2]]', '/1'],
    ['[[1],2]', '/1'],
    ['[[],2]', '/1'],
    ['[[[1]],[2]]', '/1/0'],
    ['[[1],[[2]]]', '/1/0'],
    ['[[[1,2]],[[3]]]', '/1/0'],
    ['[[[1],[2]],[[3]]]', '/1'],
    ['[[[1],[2]],[[3],[]]]', '/1/1'],
    ['[[],[[1]]]', '/1'],
    ['[[],[[]]]', '/1'],
    ['[[[]],[]]', '/1'],
  ])('an irregular shape: %s', (json, path) => {
    const error = errorOf(() => readTensor(json))
    expect(error.code).toBe('SHAPE_MISMATCH')
    expect(error.errors?.map(({ pointer }) => pointer)).toEqual([`/indices${path}`])
  })

  test('a body that is not an object', () => {
    for (const text of ['[1,2]', '"{}"', '1', 'null', ' true ']) {
      const { code, detail } = refusalOf(() => readJsonObject(encode(text), ['a']))
      expect(code).toBe('INVALID_REQUEST')
      expect(detail).toMatch(/^expected a JSON object, got /)
    }
  })

  test('more numbers than the limit', () => {
    for (const json of ['[1,2,3]', '[[1,2],[3]]', '[[1],[2],[3]]', `[${'1,'.repeat(100_000)}1]`]) {
      const { code, detail } = refusalOf(() => readTensor(json, { valueCountMax: 2 }))
      expect({ code, detail }).toEqual({
        code: 'BATCH_TOO_LARGE',
        detail: '/indices has more than 2 numbers',
      })
    }
    expect(readTensor('[1,2]', { valueCountMax: 2 }).values.length).toBe(2)
    expect(readTensor('[]', { valueCountMax: 0 }).values.length).toBe(0)
    expect(refusalOf(() => readTensor('1', { valueCountMax: 0 })).code).toBe('BATCH_TOO_LARGE')
    const many = JSON.stringify(Array.from({ length: 70_000 }, () => 1))
    expect(readTensor(many, { valueCountMax: 70_000 }).values.length).toBe(70_000)
    expect(refusalOf(() => readTensor(many, { valueCountMax: 69_999 })).code).toBe('BATCH_TOO_LARGE')
  })

  test('a name that RFC 6901 escapes', () => {
    const body = encode('{"a/b~c":[null]}')
    expect(pointersOf(() => readJsonObject(body, ['a/b~c']))).toEqual(['/a~1b~0c/0'])
  })
})
