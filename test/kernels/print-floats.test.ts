import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import { countPrintedRows, instantiateJsonKernels, printedBytesMax } from '../../src/kernels/print-floats.ts'
import { PRINT_TABLES_BYTES } from '../../src/kernels/print-tables.ts'
import { createArenaMemory } from '../../src/kernels/memories.ts'
import { printTensorReference, shortestDecimal } from '../../src/kernels/reference/print-floats.ts'
import { createRandom } from '../formats/json-numbers.ts'
import { runsOf } from '../helpers/property-runs.ts'

const LONG = process.env.GATHERD_TEST_LONG === '1'
const RANDOM_COUNT = LONG ? 10_000_000 : runsOf({ quick: 50_000, long: 250_000 })
const BATCH_COUNT = 50_000

const TABLES_AT = 64
const VALUES_AT = 16_384
const TEXT_AT = 1 << 20
const GUARD = 0xa5

const arena = createArenaMemory(4 << 20)
const kernels = instantiateJsonKernels(arena, TABLES_AT)
const arenaBytes = new Uint8Array(arena.buffer)
const arenaBits = new Uint32Array(arena.buffer)
const arenaValues = new Float32Array(arena.buffer)

/** Prints, and checks that no byte outside the given region is written. */
const guarded = (bytesMax: number, print: () => number): string => {
  arenaBytes.fill(GUARD, TEXT_AT - 64, TEXT_AT)
  arenaBytes.fill(GUARD, TEXT_AT + bytesMax, TEXT_AT + bytesMax + 64)
  const length = print()
  const isGuard = (byte: number): boolean => byte === GUARD
  expect(arenaBytes.subarray(TEXT_AT - 64, TEXT_AT).every(isGuard)).toBe(true)
  expect(arenaBytes.subarray(TEXT_AT + bytesMax, TEXT_AT + bytesMax + 64).every(isGuard)).toBe(true)
  expect(length).toBeLessThanOrEqual(bytesMax)
  return Buffer.from(arenaBytes.slice(TEXT_AT, TEXT_AT + length)).toString('latin1')
}

const printShape = (shape: readonly number[]): string =>
  guarded(printedBytesMax(shape), () =>
    kernels.printTensor(shape, VALUES_AT, TEXT_AT, printedBytesMax(shape)),
  )

const printNumbers = (numbers: readonly number[]): string => {
  arenaValues.set(numbers, VALUES_AT / 4)
  return printShape([numbers.length]).slice(1, -1)
}

const printBits = (patterns: Uint32Array): string[] => {
  arenaBits.set(patterns, VALUES_AT / 4)
  return printShape([patterns.length]).slice(1, -1).split(',')
}

/** Describes the first value whose text differs from the reference or does not read back. */
const findDifference = (patterns: Uint32Array): string | undefined => {
  const values = new Float32Array(patterns.buffer, patterns.byteOffset, patterns.length)
  const printed = printBits(patterns)
  const expected = printTensorReference([values.length], values).slice(1, -1).split(',')
  if (printed.length !== values.length) return `${printed.length} numbers of ${values.length}`
  const at = printed.findIndex(
    (text, index) =>
      text !== expected[index] ||
      (text !== 'null' && !Object.is(Math.fround(JSON.parse(text)), values[index])),
  )
  return at < 0 ? undefined : `0x${patterns[at].toString(16)}: ${printed[at]} instead of ${expected[at]}`
}

describe('the text of a number', () => {
  test.each([
    [0, '0'],
    [-0, '-0'],
    [1, '1'],
    [-1, '-1'],
    [0.1, '0.1'],
    [1 / 3, '0.33333334'],
    [100, '100'],
    [16_777_216, '16777216'],
    [123456.79, '123456.79'],
    [2 ** 30, '1073741800'],
    [1e20, '100000000000000000000'],
    [-1e20, '-100000000000000000000'],
    [1e21, '1e+21'],
    [1.5e22, '1.5e+22'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [1e-6, '0.000001'],
    [-1.2345678e-6, '-0.0000012345678'],
    [9.536743e-7, '9.536743e-7'],
    [1e-7, '1e-7'],
    [1.1754943508222875e-38, '1.1754944e-38'],
    [1.401298464324817e-45, '1e-45'],
    [9.80908925027372e-45, '1e-44'],
    [Number.NaN, 'null'],
    [Number.POSITIVE_INFINITY, 'null'],
    [Number.NEGATIVE_INFINITY, 'null'],
  ])('%d is %s', (value, text) => {
    expect(printNumbers([value])).toBe(text)
    expect(printTensorReference([], new Float32Array([value]))).toBe(text)
  })

  test('has the digits that NumPy prints for it', () => {
    const suite = JSON.parse(readFileSync(new URL('../golden/dtypes.json', import.meta.url), 'utf8'))
    const { table, expect: expected } = suite.cases.find(
      (entry: { name: string }) => entry.name === 'shortest-decimals',
    )
    const printed = printNumbers(table.values.flat()).split(',')
    const normalised = printed.map((text) => Number(text).toExponential())
    expect(normalised).toEqual(expected.decimal.flat().map((text: string) => Number(text).toExponential()))
  })

  test('is the even one of two equally close decimals', () => {
    expect(printNumbers([0.251953125, 0.501953125])).toBe('0.25195312,0.5019531')
  })

  test('reads back as float32 where rounding to double first gives another number', () => {
    // 7.038531e-26 read as float32 is the first pattern; read as a double and then rounded it is the second.
    const patterns = new Uint32Array([0x15ae43fd, 0x15ae43fe])
    expect(printBits(patterns)).toEqual(['7.0385307e-26', '7.0385313e-26'])
    expect(findDifference(patterns.subarray(0, 1))).toBeUndefined()
  })

  // Of all float32 numbers, the middle or an end of the interval of these is nearest to a decimal of the
  // printed length without being one.
  test('equals the reference where a coarser search fails', () => {
    const patterns = [
      0x0fc0247d, 0x19af56d4, 0x1b5b2c89, 0x1efafd3d, 0x1f3e0c4b, 0x1fdc84c4, 0x201f93d2, 0x2280c0ec,
      0x2420f127, 0x24eb1256, 0x2e5d7806, 0x70fa9200, 0x729c9b40, 0x7443c210, 0x75f4b294,
    ]
    expect(findDifference(Uint32Array.from(patterns))).toBeUndefined()
  })

  test('equals the reference at and around every power of two of both signs', () => {
    const patterns = new Uint32Array(512 * 40)
    for (let exponent = 0; exponent < 512; exponent += 1) {
      for (let offset = 0; offset < 40; offset += 1)
        patterns[exponent * 40 + offset] = (exponent << 23) + offset - 20
    }
    expect(findDifference(patterns)).toBeUndefined()
  })

  test('equals the reference for the smallest subnormals and around every power of ten', () => {
    expect(findDifference(Uint32Array.from({ length: 20_000 }, (_, index) => index))).toBeUndefined()
    const powers = new Float32Array(Array.from({ length: 84 }, (_, index) => Number(`1e${index - 45}`)))
    const patterns = [...new Uint32Array(powers.buffer)].flatMap((pattern) => [
      pattern - 2,
      pattern - 1,
      pattern,
      pattern + 1,
      pattern + 2,
    ])
    expect(findDifference(Uint32Array.from(patterns))).toBeUndefined()
  })

  test(`equals the reference for ${RANDOM_COUNT} random bit patterns`, {
    timeout: LONG ? 600_000 : 30_000,
  }, () => {
    const seed = LONG ? Date.now() | 1 : 1
    const random = createRandom(seed)
    const patterns = new Uint32Array(BATCH_COUNT)
    for (let done = 0; done < RANDOM_COUNT; done += BATCH_COUNT) {
      for (let index = 0; index < BATCH_COUNT; index += 1) patterns[index] = random()
      expect(findDifference(patterns), `seed ${seed}`).toBeUndefined()
    }
  })
})

describe('the reference printer', () => {
  test('prints a decimal than which no shorter one reads back', () => {
    const random = createRandom(7)
    const value = new Float32Array(1)
    const bits = new Uint32Array(value.buffer)
    for (let round = 0; round < 2_000; round += 1) {
      bits[0] = random() & 0x7fffffff
      if (!Number.isFinite(value[0]) || value[0] === 0) continue
      const [coefficient] = shortestDecimal(value[0]).toExponential().split('e')
      const digitCount = coefficient.replace('.', '').length
      for (let count = 1; count < digitCount; count += 1) {
        const [shorter, exponent] = value[0].toExponential(count - 1).split('e')
        const nearest = Number(shorter.replace('.', ''))
        for (const digits of [nearest - 1, nearest, nearest + 1]) {
          expect(Math.fround(Number(`${digits}e${Number(exponent) - count + 1}`))).not.toBe(value[0])
        }
      }
    }
  })
})

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 6 })
const fillValues = (count: number): Float32Array => {
  const values = Float32Array.from({ length: count }, (_, index) =>
    index % 7 === 0 ? Number.NaN : index / 8 - 3,
  )
  arenaValues.set(values, VALUES_AT / 4)
  return values
}

describe('the text of a tensor', () => {
  test.each([
    [[], '-3'],
    [[0], '[]'],
    [[2, 0], '[[],[]]'],
    [[0, 3], '[]'],
    [[2, 0, 3], '[[],[]]'],
    [[3], '[-3,-2.875,-2.75]'],
    [[2, 2], '[[-3,-2.875],[-2.75,-2.625]]'],
    [[2, 1, 2], '[[[-3,-2.875]],[[-2.75,-2.625]]]'],
    [[1, 1, 1], '[[[-3]]]'],
  ])('of shape %j is %s', (shape, text) => {
    arenaValues.set([-3, -2.875, -2.75, -2.625], VALUES_AT / 4)
    expect(printShape(shape)).toBe(text)
  })

  test('equals the reference for any shape', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const values = fillValues(shape.reduce((product, length) => product * length, 1))
        expect(printShape(shape)).toBe(printTensorReference(shape, values))
      }),
    )
  })

  test('can be printed in parts', () => {
    fc.assert(
      fc.property(shapes, fc.integer({ min: 1, max: 9 }), (shape, partRows) => {
        const count = shape.reduce((product, length) => product * length, 1)
        const values = fillValues(count)
        const rowCount = countPrintedRows(shape)
        let text = ''
        for (let row = 0; row < rowCount; row += partRows) {
          const rows = Math.min(partRows, rowCount - row)
          const bytesMax = printedBytesMax(shape, rows)
          const valuesAt = VALUES_AT + row * (count / rowCount) * 4
          text += guarded(bytesMax, () => kernels.printRows(shape, row, rows, valuesAt, TEXT_AT, bytesMax))
        }
        expect(text).toBe(printTensorReference(shape, values))
      }),
    )
  })

  test('is the same for any end of a block of numbers, also at the end of the memory', () => {
    for (let count = 1; count <= 140; count += 1) {
      const at = arenaBytes.length - count * 4
      for (let index = 0; index < count; index += 1) arenaValues[at / 4 + index] = (index - 7) / 11
      const length = kernels.printTensor([count], at, TEXT_AT, printedBytesMax([count]))
      const printed = Buffer.from(arenaBytes.slice(TEXT_AT, TEXT_AT + length)).toString('latin1')
      expect(printed).toBe(printTensorReference([count], arenaValues.slice(at / 4, at / 4 + count)))
    }
  })

  test('stays within the bound for the longest numbers of every shape', () => {
    for (const shape of [[], [1000], [1000, 1], [10, 10, 10], [1, 1, 1, 1, 1, 1000]]) {
      arenaValues.fill(-1e20, VALUES_AT / 4, VALUES_AT / 4 + 1000)
      printShape(shape)
    }
  })
})

describe('the printer asserts', () => {
  const room = printedBytesMax([4])

  test('that there is room for the longest text', () => {
    expect(() => kernels.printTensor([4], VALUES_AT, TEXT_AT, room - 1)).toThrow(AssertionFailure)
  })

  test('that values and text lie in the arena', () => {
    expect(() => kernels.printTensor([4], arenaBytes.length - 12, TEXT_AT, room)).toThrow(AssertionFailure)
    expect(() => kernels.printTensor([4], -4, TEXT_AT, room)).toThrow(AssertionFailure)
    expect(() => kernels.printTensor([4], VALUES_AT + 2, TEXT_AT, room)).toThrow(AssertionFailure)
    expect(() => kernels.printTensor([4], VALUES_AT, arenaBytes.length - room + 1, room)).toThrow(
      AssertionFailure,
    )
    expect(() => kernels.printTensor([4], VALUES_AT, -1, room)).toThrow(AssertionFailure)
  })

  test('that rows lie in the tensor, and that it has not too many axes', () => {
    expect(() => kernels.printRows([4, 1], 3, 2, VALUES_AT, TEXT_AT, 1000)).toThrow(AssertionFailure)
    expect(() =>
      kernels.printTensor(
        Array.from({ length: 18 }, () => 1),
        VALUES_AT,
        TEXT_AT,
        1000,
      ),
    ).toThrow(AssertionFailure)
  })

  test('that its tables lie in the arena', () => {
    expect(() => instantiateJsonKernels(arena, 4)).toThrow(AssertionFailure)
    expect(() => instantiateJsonKernels(arena, arenaBytes.length - PRINT_TABLES_BYTES + 8)).toThrow(
      AssertionFailure,
    )
  })
})

test('two printers of one arena with their own tables do not disturb each other', () => {
  const other = instantiateJsonKernels(arena, TABLES_AT + PRINT_TABLES_BYTES)
  arenaValues.set([0.5, 1.5, 2.5, 3.5], VALUES_AT / 4)
  const room = printedBytesMax([2, 2])
  const length = other.printTensor([2, 2], VALUES_AT, TEXT_AT, room)
  expect(Buffer.from(arenaBytes.slice(TEXT_AT, TEXT_AT + length)).toString('latin1')).toBe(
    '[[0.5,1.5],[2.5,3.5]]',
  )
  expect(printShape([4])).toBe('[0.5,1.5,2.5,3.5]')
})
