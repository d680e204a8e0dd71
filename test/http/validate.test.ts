import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { LookupMembers, LookupQuery } from '../../src/http/schemas/lookup.ts'
import { CLOSED } from '../../src/http/schemas/scalars.ts'
import { SettingsBody } from '../../src/http/schemas/settings.ts'
import { SpecificationMembers, TableParams } from '../../src/http/schemas/table.ts'
import { compileChecker, compileQueryChecker } from '../../src/http/validate.ts'

/** The code and the pointers of a refusal, or null when nothing was refused. */
const refusal = (act: () => unknown): { code: string; places: Record<string, string> } | null => {
  try {
    act()
  } catch (error) {
    if (!(error instanceof GatherdError)) throw error
    return {
      code: error.code,
      places: Object.fromEntries((error.errors ?? []).map(({ pointer, detail }) => [pointer, detail])),
    }
  }
  return null
}
const invalid = (places: Record<string, string>) => ({ code: 'INVALID_REQUEST', places })

/** The names that are known follow. */
const NOT_KNOWN = expect.stringMatching(/^is not known here[;,]/) as string

describe('the members of a JSON body', () => {
  const check = compileChecker(SpecificationMembers)
  const find = (value: unknown) => refusal(() => check(value))

  test('pass unchanged when they are valid', () => {
    const value = {
      rows: 3,
      dim: 4.0,
      dtype: 'float16',
      fill_value: null,
      padding_index: -1,
      initializer: { kind: 'uniform', seed: 7 },
    }
    expect(check(value)).toBe(value)
    expect(check({})).toEqual({})
  })

  test.each([
    ['a number as a string', { rows: '3' }, { '/rows': 'must be an integer' }],
    ['a boolean for a number', { rows: true }, { '/rows': 'must be an integer' }],
    ['null for a number', { rows: null }, { '/rows': 'must be an integer' }],
    ['a fraction for an integer', { rows: 3.5 }, { '/rows': 'must be an integer' }],
    ['a list for a number', { rows: [3] }, { '/rows': 'must be an integer' }],
    ['a number below the minimum', { dim: 0 }, { '/dim': 'must be at least 1' }],
    ['a number above the maximum', { dim: 65_537 }, { '/dim': 'must be at most 65536' }],
    ['2^53', { rows: 2 ** 53 }, { '/rows': 'must be at most 2147483646' }],
    [
      'an unknown word',
      { out_of_range: 'CLIP' },
      { '/out_of_range': 'must be one of "error", "fill", "clip", "wrap", "clamp"' },
    ],
    [
      'null for a word',
      { out_of_range: null },
      { '/out_of_range': 'must be one of "error", "fill", "clip", "wrap", "clamp"' },
    ],
    ['a string for number or null', { fill_value: '0' }, { '/fill_value': 'must be a number or null' }],
    [
      'a number or null above the maximum',
      { padding_index: 2 ** 31 },
      { '/padding_index': 'must be at most 2147483645' },
    ],
    ['an unknown member', { row: 3 }, { '/row': NOT_KNOWN }],
    ['a prototype', JSON.parse('{"__proto__": {"rows": 3}}'), { '/__proto__': NOT_KNOWN }],
    ['a name that a pointer escapes', { 'a/b~c': 1 }, { '/a~1b~0c': NOT_KNOWN }],
    [
      'a missing kind',
      { initializer: {} },
      {
        '/initializer/kind':
          'must be one of "zeros", "constant", "uniform", "normal", "truncated_normal", "variance_scaling"',
      },
    ],
    [
      'a missing member of a kind',
      { initializer: { kind: 'constant' } },
      { '/initializer/value': 'is missing' },
    ],
    [
      'a member of another kind',
      { initializer: { kind: 'zeros', seed: 1 } },
      { '/initializer/seed': NOT_KNOWN },
    ],
    ['a string for an object', { initializer: 'zeros' }, { '/initializer': 'must be an object' }],
    [
      'a wrong member of a nested union',
      { optimizer: { kind: 'sgd', constraint: { kind: 'max_norm', value: 0 } } },
      { '/optimizer/constraint/value': 'must be above 0' },
    ],
  ])('are refused: %s', (_name, value, places) => {
    expect(find(value)).toEqual(invalid(places))
  })

  test('are refused with all pointers, ten at most', () => {
    expect(find({ rows: '3', dim: 0, x: 1 })).toEqual(
      invalid({ '/rows': 'must be an integer', '/dim': 'must be at least 1', '/x': NOT_KNOWN }),
    )
    expect(
      Object.keys(find(Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`m${i}`, 1])))?.places ?? {}),
    ).toHaveLength(10)
  })

  test('are refused when the body is not an object', () => {
    for (const value of [[], 3, 'x', null, true])
      expect(find(value)).toEqual(invalid({ '': 'must be an object' }))
  })

  test('are refused with pointers from the root of the body', () => {
    expect(
      refusal(() => compileChecker(LookupMembers)({ mode: 'raise' }, '/lookups/3'))?.places,
    ).toHaveProperty('/lookups/3/mode')
  })

  test('are refused with a shortened pointer when a name is very long', () => {
    expect(Object.keys(find({ ['x'.repeat(5000)]: 1 })?.places ?? {})[0].length).toBeLessThan(100)
  })

  test('are NON_FINITE when they are infinite as float32', () => {
    const checkSettings = compileChecker(SettingsBody)
    for (const fill_value of [1e39, -1e39, Number.POSITIVE_INFINITY, 3.4028236e38]) {
      expect(
        refusal(() => checkSettings({ fill_value })),
        String(fill_value),
      ).toEqual({ code: 'NON_FINITE', places: { '/fill_value': 'is too large for float32' } })
    }
    expect(
      refusal(() => checkSettings({ optimizer: { kind: 'sgd', learning_rate: 1e39 } }))?.places,
    ).toHaveProperty('/optimizer/learning_rate')
    expect(refusal(() => checkSettings({ fill_value: 3.4028234663852886e38 }))).toBeNull()
  })
})

describe('the parameters of a query string', () => {
  const check = compileQueryChecker(LookupQuery)
  const find = (query: Record<string, string | string[]>) => refusal(() => check(query))

  test('are converted to the types of the schema', () => {
    expect(
      check({
        version: '3',
        mask: 'true',
        mode: 'clip',
        fill_value: '1.5e-3',
        padding_index: '-1',
        shape: '',
      }),
    ).toEqual({
      version: 3,
      mask: true,
      mode: 'clip',
      fill_value: 0.0015,
      padding_index: -1,
      shape: '',
    })
    expect(check({ fill_value: 'null', padding_index: 'null', mask: 'false' })).toEqual({
      fill_value: null,
      padding_index: null,
      mask: false,
    })
    expect(check({})).toEqual({})
  })

  test.each(['1e1', ' 10', '10 ', '0x10', '+1', '01', '1.0', '1_000', '', '9007199254740993', 'NaN', '-'])(
    'are refused when an integer is %j',
    (version) => {
      expect(find({ version })).toEqual(invalid({ '/version': 'must be an integer' }))
    },
  )

  test.each(['.5', '5.', '0x1', 'NaN', 'Infinity', '1,5', '', ' 1', '--1'])(
    'are refused when a number is %j',
    (fill_value) => {
      expect(find({ fill_value })).toEqual(invalid({ '/fill_value': 'must be a number or null' }))
    },
  )

  test.each(['True', '1', '', 'yes'])('are refused when a boolean is %j', (mask) => {
    expect(find({ mask })).toEqual(invalid({ '/mask': 'must be a boolean' }))
  })

  test('are refused when they are unknown or given twice', () => {
    expect(find({ modes: 'clip' })?.places['/modes']).toMatch(
      /^is not known here; did you mean mode\? Known are /,
    )
    expect(find({ constructor: 'x' })).toEqual(invalid({ '/constructor': NOT_KNOWN }))
    expect(find({ mode: ['clip', 'wrap'] })).toEqual(invalid({ '/mode': 'is given more than once' }))
  })

  test('are NON_FINITE when they are infinite as float32', () => {
    expect(find({ fill_value: '1e39' })?.code).toBe('NON_FINITE')
    expect(find({ fill_value: '1e999' })?.code).toBe('NON_FINITE')
  })
})

test('Table names follow the pattern of the contract', () => {
  const check = compileChecker(TableParams)
  for (const table of ['a', 'A.b-c_9', '9', 'constructor', 'a'.repeat(128)])
    expect(check({ table }), table).toEqual({ table })
  for (const table of ['', '.a', '-a', '_a', 'a b', 'a/b', 'a%2e', 'ä', 'a\n', 'a'.repeat(129)]) {
    expect(refusal(() => check({ table }))?.code, table).toBe('INVALID_REQUEST')
  }
})

test('Refusals explain the lengths of lists and strings', () => {
  const check = compileChecker(
    Type.Object(
      {
        list: Type.Array(Type.Integer(), { minItems: 1, maxItems: 2 }),
        text: Type.Optional(Type.String({ minLength: 2, maxLength: 3 })),
      },
      CLOSED,
    ),
  )
  expect(refusal(() => check({ list: [] }))).toEqual(invalid({ '/list': 'must have at least 1 items' }))
  expect(refusal(() => check({ list: [1, 2, 3] }))).toEqual(invalid({ '/list': 'must have at most 2 items' }))
  expect(refusal(() => check({ list: [1, 'x'] }))).toEqual(invalid({ '/list/1': 'must be an integer' }))
  expect(refusal(() => check({ list: [1], text: 'x' }))).toEqual(
    invalid({ '/text': 'must have at least 2 characters' }),
  )
  expect(refusal(() => check({ list: [1], text: 'long' }))).toEqual(
    invalid({ '/text': 'must have at most 3 characters' }),
  )
  expect(refusal(() => check({}))).toEqual(invalid({ '/list': 'is missing' }))
})
