import { describe, expect, test } from 'vitest'
import { locateSafetensors, readSafetensors } from '../../src/formats/safetensors.ts'
import { codeOf, refusalOf } from './refusal.ts'
import { codeOfBody, makeBody, tensor } from './safetensors-bodies.ts'

describe('the JSON', () => {
  test.each([
    [`{"a":${tensor('U8', '[4]', 0, 4)}}`],
    [`{"a":${tensor('U8', '[4]', 0, 4)}}      `],
    [`{ "a" :\t{ "data_offsets" : [ 0 , 4 ] ,\n"shape" : [ 2 , 2 ] ,\r\n"dtype" : "U8" } }`],
    [`{"\\u0061":{"\\u0064type":"U\\u0038","shape":[4],"data_offsets":[0,4]}}`],
    [`{"__metadata__":{},"a":${tensor('I32', '[]', 0, 4)}}`],
    [`{"a":${tensor('U8', '[1,1,1,1,1,1,1,4]', 0, 4)}}`],
  ])('%j is read', (text) => {
    expect(readSafetensors(makeBody(text, 4)).get('a')?.data.length).toBe(4)
  })

  const good = tensor('U8', '[4]', 0, 4)
  test.each([
    '',
    ' ',
    `\ufeff{"a":${good}}`,
    `[${good}]`,
    '"a"',
    'null',
    `{"a":${good}`,
    `{"a":${good}}}`,
    `{"a":${good}} x`,
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
  ])('%j is MALFORMED_BODY', (text) => {
    expect(codeOfBody(text, 4)).toBe('MALFORMED_BODY')
  })

  test.each([
    `{"__metadata__":null,"a":${good}}`,
    `{"a":${good}}\n\t\r\n `,
    ` \n{"a":${good}}`,
    `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"extra":{"b":[1,-2.5e3,"\\"",true,null,[],{}]}}}`,
    `{"a":{"__proto__":1,"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`,
  ])('%j is read as the Python library reads it', (text) => {
    const array = readSafetensors(makeBody(text, 4)).get('a')
    expect(array).toMatchObject({ elementType: 'uint8', shape: [4] })
  })

  test.each(['{"a":}', '[1,]', '[01]', 'nul', '{"a" 1}', '"', `${'['.repeat(40)}${']'.repeat(40)}`])(
    'an unknown member of %s is MALFORMED_BODY',
    (value) => {
      const text = `{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":${value}}}`
      expect(codeOfBody(text, 4)).toBe('MALFORMED_BODY')
    },
  )

  test('of a file may have arrays that are not read, which are refused when they are asked for', () => {
    const text =
      `{"f8":${tensor('F8_E4M3', '[2]', 0, 2)},"f4":${tensor('F4', '[2,2]', 2, 4)},` +
      `"deep":${tensor('U8', '[1,1,1,1,1,1,1,1,1,1]', 4, 5)},"a":${tensor('U8', '[1]', 5, 6)}}`
    const { arrays, unread } = locateSafetensors(makeBody(text, 6), null)
    expect([...arrays.keys()]).toEqual(['a'])
    expect([...unread].map(([name, { rank, begin, end }]) => [name, rank, end - begin])).toEqual([
      ['f8', 1, 2],
      ['f4', 2, 2],
      ['deep', 10, 1],
    ])
    expect(codeOf(() => unread.get('f8')?.refuse())).toBe('DTYPE_MISMATCH')
    expect(refusalOf(() => unread.get('deep')?.refuse()).detail).toMatch(/"deep" has 10 dimensions/)
    const overlapping = text.replace('[2,4]', '[1,4]')
    expect(codeOf(() => locateSafetensors(makeBody(overlapping, 6), null))).toBe('MALFORMED_BODY')
  })

  test('that is not UTF-8 is MALFORMED_BODY, not a name with U+FFFD', () => {
    const text = Buffer.from(`{"a?":${good}}`)
    text[3] = 0xff
    expect(codeOfBody(text, 4)).toBe('MALFORMED_BODY')
  })

  test('with a name twice is MALFORMED_BODY, however it is spelled', () => {
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
    'dtype %j is DTYPE_MISMATCH',
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
  ])('shape %s is SHAPE_MISMATCH', (shape) => {
    expect(codeOfBody(`{"a":${tensor('F32', shape, 0, 4)}}`, 4)).toBe('SHAPE_MISMATCH')
  })

  test('1,024 arrays and as many pairs of metadata are read, 1,025 of either refused', () => {
    const members = (count: number, value: string): string =>
      Array.from({ length: count }, (_, index) => `"${index}":${value}`).join(',')
    const arrays = (count: number): string => members(count, tensor('U8', '[0]', 0, 0))
    const pairs = (count: number): string => `"__metadata__":{${members(count, '""')}}`
    expect(readSafetensors(makeBody(`{${pairs(1024)},${arrays(1024)}}`, 0)).size).toBe(1024)
    expect(locateSafetensors(makeBody(`{${arrays(1443)}}`, 0), null).arrays.size).toBe(1443)
    expect(codeOfBody(`{${arrays(1025)}}`, 0)).toBe('MALFORMED_BODY')
    expect(codeOfBody(`{${pairs(0)},${arrays(1025)}}`, 0)).toBe('MALFORMED_BODY')
    expect(codeOfBody(`{${pairs(1025)}}`, 0)).toBe('MALFORMED_BODY')
  })
})

describe('the offsets', () => {
  type Place = [shape: string, begin: number | string, end: number | string]
  const codeOfTensors = (dataBytes: number, ...places: Place[]): string | null => {
    const members = places.map(
      ([shape, begin, end], index) => `"${index}":${tensor('U8', shape, begin, end)}`,
    )
    return codeOfBody(`{${members.join(',')}}`, dataBytes)
  }

  test('may come in any order of names', () => {
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

  test('leave no hole, do not overlap, begin at 0 and end with the body', () => {
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

  test('hold as many bytes as the shape has', () => {
    const detail = refusalOf(() => readSafetensors(makeBody(`{"a":${tensor('F32', '[1]', 0, 8)}}`, 8))).detail
    expect(detail).toBe('the safetensors array "a" takes 4 bytes, but its data_offsets [0,8] hold 8')
    expect(codeOfTensors(4, ['[3]', 0, 4])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', 4, 0])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(0, ['[0]', 9_007_199_254_740_991, 9_007_199_254_740_991])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', '9007199254740992', '9007199254740996'])).toBe('MALFORMED_BODY')
    expect(codeOfTensors(4, ['[4]', '9'.repeat(400), '9'.repeat(400)])).toBe('MALFORMED_BODY')
  })
})
