import fc from 'fast-check'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { readJsonObject, readJsonObjects } from '../../src/formats/json-reader.ts'
import type { JsonTensor } from '../../src/formats/json-reader.ts'
import { encode, pointersOf, readTensor } from './json-bodies.ts'
import { createRandom, HARD_NUMBERS, randomNumber } from './json-numbers.ts'
import { misalign, refusalOf } from './refusal.ts'

const LONG = process.env.GATHERD_TEST_LONG === '1'
const RANDOM_COUNT = LONG ? 10_000_000 : 100_000
const BATCH_COUNT = 10_000

const tensorOf = (values: number[], shape: number[], lengths?: number[]): JsonTensor =>
  lengths === undefined
    ? { values: Float64Array.from(values), shape }
    : { values: Float64Array.from(values), shape, lengths: Int32Array.from(lengths) }

describe('a JSON tensor', () => {
  test.each([
    ['3', [3], []],
    [' -2.5 ', [-2.5], []],
    ['[]', [], [0]],
    ['[ ]', [], [0]],
    ['[3,1]', [3, 1], [2]],
    ['[[3,1],[2,0]]', [3, 1, 2, 0], [2, 2]],
    ['[[],[]]', [], [2, 0]],
    ['[[[]],[[]]]', [], [2, 1, 0]],
    ['[[[1,2]],[[3,4]],[[5,6]]]', [1, 2, 3, 4, 5, 6], [3, 1, 2]],
    ['[[[[[7]]]]]', [7], [1, 1, 1, 1, 1]],
    ['\t[ [ 1 , 2 ]\r\n, [ 3 , 4 ] ] ', [1, 2, 3, 4], [2, 2]],
  ])('is read from %s', (json, values, shape) => {
    expect(readTensor(json)).toEqual(tensorOf(values, shape))
  })

  test.each([
    ['[[1],[]]', [1], [1, 0]],
    ['[[],[1]]', [1], [0, 1]],
    ['[[],[],[1,2],[]]', [1, 2], [0, 0, 2, 0]],
    ['[[1,2],[3],[4,5]]', [1, 2, 3, 4, 5], [2, 1, 2]],
  ])('with rows of different length: %s', (json, values, lengths) => {
    expect(readTensor(json)).toEqual(tensorOf(values, [lengths.length, -1], lengths))
  })

  test('of any nesting is read as JSON.parse reads it', () => {
    const nested = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 }).chain((shape) => {
      const count = shape.reduce((product, length) => product * length, 1)
      return fc.tuple(
        fc.constant(shape),
        fc.array(fc.double({ noNaN: true }), { minLength: count, maxLength: count }),
      )
    })
    const build = (shape: number[], values: number[]): unknown => {
      if (shape.length === 0) return values[0]
      const size = values.length / Math.max(shape[0], 1)
      return Array.from({ length: shape[0] }, (_, index) =>
        build(shape.slice(1), values.slice(index * size, (index + 1) * size)),
      )
    }
    fc.assert(
      fc.property(nested, fc.constantFrom(0, 1, '\t'), ([shape, drawn], space) => {
        const values = drawn.filter(Number.isFinite)
        fc.pre(values.length === drawn.length)
        const firstZero = shape.indexOf(0)
        const seen = firstZero < 0 ? shape : shape.slice(0, firstZero + 1)
        const text = JSON.stringify(build(shape, values), null, space)
        // JSON.stringify prints -0 as 0, so the text is made by hand.
        expect(readTensor(text)).toEqual(
          tensorOf(
            values.map((value) => value + 0),
            seen,
          ),
        )
      }),
    )
  })

  test.each(HARD_NUMBERS.map((text) => [text]))('holds %s to the bit', (text) => {
    expect(readTensor(text).values).toEqual(Float64Array.of(JSON.parse(text)))
    expect(readTensor(`[[${text}, ${text}]]`).values).toEqual(
      Float64Array.of(JSON.parse(text), JSON.parse(text)),
    )
  })

  test(`holds ${RANDOM_COUNT} random numbers to the bit`, { timeout: LONG ? 600_000 : 30_000 }, () => {
    const seed = LONG ? Date.now() | 1 : 1
    const random = createRandom(seed)
    for (let done = 0; done < RANDOM_COUNT; done += BATCH_COUNT) {
      const text = `[${Array.from({ length: BATCH_COUNT }, () => randomNumber(random)).join(',')}]`
      const difference = (JSON.parse(text) as number[]).findIndex(
        (
          (values) => (value: number, index: number) =>
            !Object.is(value, values[index])
        )(readTensor(text).values),
      )
      expect(difference, `seed ${seed}`).toBe(-1)
    }
  })

  test('may be larger than the buffers that the reader reuses', () => {
    const values = Array.from({ length: 200_000 }, (_, index) => index % 1000)
    const rows = Array.from({ length: 100 }, (_, row) => values.slice(row * 2000, (row + 1) * 2000))
    expect(readTensor(JSON.stringify(rows))).toEqual(tensorOf(values, [100, 2000]))
    expect(readTensor(JSON.stringify(values))).toEqual(tensorOf(values, [200_000]))
  })

  test('is not overwritten by the next body', () => {
    const first = readTensor('[1,2,3]')
    readTensor('[4,5,6]')
    expect(first.values).toEqual(Float64Array.of(1, 2, 3))
    expect(first.values.buffer.byteLength).toBe(24)
    expect(first.values.buffer).toBeInstanceOf(ArrayBuffer)
  })

  test('is read from bytes at any address', () => {
    const body = encode('{"indices":[1,2.5]}')
    expect(readJsonObject(misalign(body), ['indices'])).toEqual(readJsonObject(body, ['indices']))
  })
})

describe('the members of a body', () => {
  test('beside its tensors are read as JSON.parse reads them', () => {
    const text =
      '{"mode":"clip","fill_value":null,"nested":{"a":[1,{"b":[]}],"c":true},"indices":[1],' +
      '"text":"\\u00e9\\n\\"é😀","number":-1.5e3,"off":false}'
    const { indices: _, ...members } = JSON.parse(text)
    const object = readJsonObject(encode(text), ['indices', 'weights'])
    expect({ ...object.members }).toEqual(members)
    expect([...object.tensors.keys()]).toEqual(['indices'])
  })

  test('are none when it is an empty object', () => {
    const { members, tensors } = readJsonObject(encode(' { } '), ['indices'])
    expect(Object.keys(members)).toEqual([])
    expect(tensors.size).toBe(0)
  })

  test('may have the names of Object.prototype', () => {
    const { members } = readJsonObject(
      encode('{"__proto__":{"polluted":1},"constructor":2,"toString":3}'),
      [],
    )
    expect(Object.getPrototypeOf(members)).toBeNull()
    expect(Object.keys(members)).toEqual(['__proto__', 'constructor', 'toString'])
    expect(members.polluted).toBeUndefined()
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test('are found by their names, however these are escaped', () => {
    expect(readJsonObject(encode('{"ind\\u0069ces":[1]}'), ['indices']).tensors.has('indices')).toBe(true)
  })

  test('of any kind are read as JSON.parse reads them', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { noNullPrototype: true }), (object) => {
        const text = JSON.stringify(object)
        expect({ ...readJsonObject(encode(text), []).members }).toEqual({ ...JSON.parse(text) })
      }),
    )
  })

  test('get the right names when there are more than the reader caches', () => {
    const names = Array.from({ length: 1000 }, (_, index) => `name${index}`)
    const text = JSON.stringify(Object.fromEntries(names.map((name) => [name, name])))
    expect(Object.entries(readJsonObject(encode(text), []).members)).toEqual(
      names.map((name) => [name, name]),
    )
  })
})

describe('a list of objects', () => {
  const read = (text: string, limits = {}): ReturnType<typeof readJsonObjects> =>
    readJsonObjects(encode(text), 'lookups', ['indices', 'weights'], limits)

  test('is read together with the members around it', () => {
    const { members, objects } = read(
      '{"a":1,"lookups":[{"table":"x","indices":[1,2]},{"indices":[[3]],"weights":0.5}, {}],"b":[]}',
    )
    expect({ ...members }).toEqual({ a: 1, b: [] })
    expect(objects.map((object) => [{ ...object.members }, Object.fromEntries(object.tensors)])).toEqual([
      [{ table: 'x' }, { indices: tensorOf([1, 2], [2]) }],
      [{}, { indices: tensorOf([3], [1, 1]), weights: tensorOf([0.5], []) }],
      [{}, {}],
    ])
    expect(read('{"lookups":[]}').objects).toEqual([])
  })

  test('has pointers that begin with the position in the list', () => {
    expect(pointersOf(() => read('{"lookups":[{},{"indices":[1,2,3,"4"]}]}'))).toEqual([
      '/lookups/1/indices/3',
    ])
    expect(pointersOf(() => read('{"lookups":[{"indices":[[1],2]}]}'))).toEqual(['/lookups/0/indices/1'])
    expect(pointersOf(() => read('{"lookups":[{},7]}'))).toEqual(['/lookups/1'])
  })

  test.each(['{}', '{"lookups":null}', '{"lookups":{}}', '{"lookups":[[]]}', '{"lookups":[null]}', '[]'])(
    'is refused as INVALID_REQUEST when it is missing or not a list of objects: %s',
    (text) => {
      expect(refusalOf(() => read(text)).code).toBe('INVALID_REQUEST')
    },
  )

  test.each([
    '{"lookups":[',
    '{"lookups":[{}',
    '{"lookups":[{},]}',
    '{"lookups":[],"lookups":[]}',
    '{"lookups":[{"indices":[1}]}',
    '{"lookups":[{}]} x',
  ])('is refused as MALFORMED_BODY when it is not JSON: %s', (text) => {
    expect(refusalOf(() => read(text)).code).toBe('MALFORMED_BODY')
  })

  test('has limits on objects, numbers and depth', () => {
    expect(refusalOf(() => read('{"lookups":[{},{},{}]}', { objectCountMax: 2 }))).toEqual({
      code: 'BATCH_TOO_LARGE',
      detail: '/lookups has more than 2 elements',
    })
    expect(read('{"lookups":[{},{}]}', { objectCountMax: 2 }).objects.length).toBe(2)
    expect(refusalOf(() => read('{"lookups":[{"indices":[1,2]}]}', { valueCountMax: 1 })).code).toBe(
      'BATCH_TOO_LARGE',
    )
    expect(refusalOf(() => read('{"lookups":[{"indices":[[1]]}]}', { depthMax: 4 })).code).toBe(
      'MALFORMED_BODY',
    )
    expect(refusalOf(() => read('{"lookups":[{"indices":[1]}]}', { depthMax: 4 })).code).toBeNull()
  })
})
