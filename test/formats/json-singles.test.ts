import fc from 'fast-check'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { toFloat32, toIndexArray } from '../../src/formats/json-reader.ts'
import type { JsonLimits } from '../../src/formats/json-reader.ts'
import { AssertionFailure } from '../../src/core/assert.ts'
import { errorOf, readTensor } from './json-bodies.ts'
import { createRandom, HARD_NUMBERS, randomNumber } from './json-numbers.ts'
import { runsOf } from '../helpers/property-runs.ts'

const LONG = process.env.GATHERD_TEST_LONG === '1'
const RANDOM_COUNT = LONG ? 10_000_000 : runsOf({ quick: 30_000, long: 100_000 })
const BATCH_COUNT = 19_200

const singles = ['indices']
const isFinite32 = (text: string): boolean => Number.isFinite(Math.fround(JSON.parse(text)))

/** The values, shape and lengths as float32, or the refusal. */
const outcome = (json: string, limits: JsonLimits): unknown => {
  try {
    const tensor = readTensor(json, limits)
    return { ...tensor, values: toFloat32(tensor, '/indices') }
  } catch (error) {
    if (!(error instanceof GatherdError)) throw error
    return { code: error.code, detail: error.message, errors: error.errors }
  }
}

describe('a tensor that is read as float32 at once', () => {
  test.each(HARD_NUMBERS.filter(isFinite32).map((text) => [text]))(
    'rounds %s as JSON.parse and Math.fround do',
    (text) => {
      const value = Math.fround(JSON.parse(text))
      expect(readTensor(text, { singles }).values).toEqual(Float32Array.of(value))
      expect(readTensor(`[[${text}],[${text}],[${text} ]]`, { singles }).values).toEqual(
        Float32Array.of(value, value, value),
      )
    },
  )

  test(`rounds ${RANDOM_COUNT} random numbers in rows as they do`, {
    timeout: LONG ? 600_000 : 30_000,
  }, () => {
    const seed = LONG ? Date.now() | 1 : 1
    const random = createRandom(seed)
    for (let done = 0; done < RANDOM_COUNT; done += BATCH_COUNT) {
      const length = [1, 4, 64, 960][random() % 4]
      const numbers: string[] = []
      while (numbers.length < BATCH_COUNT) {
        const number = randomNumber(random)
        if (isFinite32(number)) numbers.push(number)
      }
      const rows = Array.from(
        { length: BATCH_COUNT / length },
        (_, row) => `[${numbers.slice(row * length, (row + 1) * length).join(',')}]`,
      )
      const { values, shape } = readTensor(`[${rows.join(',')}]`, { singles })
      expect(shape).toEqual([rows.length, length])
      expect(values).toBeInstanceOf(Float32Array)
      const difference = numbers.findIndex(
        (text, index) => !Object.is(Math.fround(JSON.parse(text)), values[index]),
      )
      expect(difference, `seed ${seed}`).toBe(-1)
    }
  })

  test('equals one that is rounded afterwards in values, shapes, limits and refusals', () => {
    const elements = fc.oneof(
      {
        weight: 12,
        arbitrary: fc.constantFrom(
          '1',
          '-0',
          '2.5e-3',
          '0.30000000000000004',
          '1.00000000000000011102230246251565',
        ),
      },
      {
        weight: 1,
        arbitrary: fc.constantFrom('3.5e38', '-1e400', 'null', '"1"', '01', '1.', 'x', '[]', '[[2]]', ''),
      },
    )
    const commas = fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(',', ', ', '\n,') },
      { weight: 1, arbitrary: fc.constantFrom('', ',,', ' ') },
    )
    const list = (inner: fc.Arbitrary<string>) =>
      fc
        .tuple(fc.array(fc.tuple(inner, commas), { maxLength: 6 }), inner, fc.constantFrom('', ' '))
        .map(
          ([before, last, space]) =>
            `[${before.map(([text, comma]) => text + comma).join('')}${last}${space}]`,
        )
    const rows = (length: number) =>
      fc.array(elements, { minLength: length, maxLength: length }).map((texts) => `[${texts.join()}]`)
    const tensors = fc.oneof(list(elements), list(rows(3)), list(list(elements)), list(list(rows(2))))
    fc.assert(
      fc.property(tensors, fc.constantFrom(Infinity, 7), (json, valueCountMax) => {
        expect(outcome(json, { valueCountMax, singles })).toEqual(outcome(json, { valueCountMax }))
      }),
      { numRuns: LONG ? 100_000 : runsOf({ quick: 500, long: 2_000 }) },
    )
  })

  test('may be larger than the buffers that the reader reuses', () => {
    const rows = Array.from({ length: 300 }, (_, row) =>
      Array.from({ length: 1000 }, (_value, column) => (row * 1000 + column) / 8),
    )
    const { values, shape } = readTensor(JSON.stringify(rows), { singles })
    expect(shape).toEqual([300, 1000])
    expect(values).toEqual(Float32Array.from(rows.flat()))
    expect(values.buffer.byteLength).toBe(1_200_000)
  })

  test('is refused with the positions of numbers that are too large', () => {
    const error = errorOf(() => toFloat32(readTensor('[[1,2],[3,4e38],[-1e400,5]]', { singles }), '/indices'))
    expect(error.code).toBe('NON_FINITE')
    expect(error.errors).toEqual([
      { pointer: '/indices/1/1', detail: '4e+38 is too large for float32' },
      { pointer: '/indices/2/0', detail: 'the number is too large for float32' },
    ])
  })

  test('cannot be used as indices', () => {
    expect(() => toIndexArray(readTensor('[1]', { singles }), '/indices')).toThrow(AssertionFailure)
  })
})
