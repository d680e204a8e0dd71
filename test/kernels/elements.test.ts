import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { PROPERTY_RUNS, PROPERTY_TIMEOUT_MS } from '../helpers/property-runs.ts'
import { ELEMENT_BYTES } from '../../src/core/types.ts'
import type { SourceType, TargetType } from '../../src/kernels/table.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { DIMS, makePair } from './pair.ts'

vi.setConfig({ testTimeout: PROPERTY_TIMEOUT_MS })

const SOURCES: SourceType[] = ['float64', 'float32', 'float16', 'bfloat16']
const TARGETS: TargetType[] = ['float32', 'float16', 'bfloat16']
const CONVERSIONS = SOURCES.flatMap((source) => TARGETS.map((target) => ({ source, target })))
const PAGE = 65_536
const pair = makePair(8 * PAGE, 16 * PAGE)

/** Numbers at which the formats round, overflow, become subnormal or underflow. */
const EDGES = [
  0,
  -0,
  1,
  -1,
  65_504,
  65_519.99,
  65_520,
  65_536,
  2 ** -14,
  2 ** -24,
  2 ** -25,
  1.5 * 2 ** -25,
  2 ** -26,
  2 ** -126,
  2 ** -149,
  2 ** -150,
  3.4028234663852886e38,
  3.3895313892515355e38,
  3.39e38,
  2 ** 128 - 2 ** 103,
  3.5e38,
  1e300,
  5e-324,
  1 + 2 ** -11,
  1 + 3 * 2 ** -11,
  1 + 2 ** -8,
  1 + 3 * 2 ** -8,
  1 + 2 ** -24,
  1 + 2 ** -52,
  NaN,
  Infinity,
  -Infinity,
  -NaN,
]

const writeElement = (type: SourceType, at: number, value: number): void => {
  if (type === 'float64') pair.arenaView.setFloat64(at, value, true)
  else if (type === 'float32') pair.arenaView.setFloat32(at, value, true)
  else if (type === 'float16') pair.arenaView.setFloat16(at, value, true)
  else pair.arenaView.setUint16(at, new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16, true)
}

/**
 * Writes elements: half of them are finite and of moderate size, the others are edge cases or random bits.
 */
const writeElements = (type: SourceType, at: number, count: number, allFinite: boolean): void => {
  for (let i = 0; i < count; i++) {
    const place = at + i * ELEMENT_BYTES[type]
    if (allFinite || i % 2 === 0) writeElement(type, place, Math.sin(i * 12.9898 + at) * 2 ** ((i % 40) - 25))
    else if (i % 4 === 1) writeElement(type, place, EDGES[i % EDGES.length] * (i % 3 === 0 ? -1 : 1))
  }
}

const counts = fc.oneof(fc.constantFrom(...DIMS), fc.integer({ min: 0, max: 600 }), fc.constant(1024))
const cases = fc.record({
  conversion: fc.constantFrom(...CONVERSIONS),
  count: counts,
  shift: fc.integer({ min: 0, max: 17 }),
  rowsOffset: fc.integer({ min: 0, max: 999 }),
  allFinite: fc.boolean(),
  seed: fc.integer(),
})

describe('the kernel ingest', () => {
  test('stores the same bits as its reference, and returns the same element', () => {
    fc.assert(
      fc.property(cases, ({ conversion: { source, target }, count, shift, rowsOffset, allFinite, seed }) => {
        pair.scramble(seed)
        writeElements(source, 64 + shift, count, allFinite)
        pair.copy()
        const found = pair.kernels.ingest(source, target, 64 + shift, count, rowsOffset)
        expect(found).toBe(pair.reference.ingest(source, target, 64 + shift, count, rowsOffset))
        expect(pair.difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test.each(CONVERSIONS)(
    'returns the first $source that is not finite as $target, at any position',
    ({ source, target }) => {
      const count = 23
      for (let bad = 0; bad < count; bad++) {
        for (const value of [NaN, Infinity, -Infinity]) {
          writeElements(source, 64, count, true)
          expect(pair.kernels.ingest(source, target, 64, count, 0)).toBe(-1)
          for (let i = bad; i < count; i += 5) writeElement(source, 64 + i * ELEMENT_BYTES[source], value)
          expect(pair.kernels.ingest(source, target, 64, count, 0)).toBe(bad)
        }
      }
    },
  )

  test('treats a number that overflows the target as not finite', () => {
    const store = (source: SourceType, target: TargetType, value: number): number => {
      writeElement(source, 64, value)
      return pair.kernels.ingest(source, target, 64, 1, 0)
    }
    expect(store('float32', 'float16', 65_519.99609375)).toBe(-1)
    expect(store('float32', 'float16', 65_520)).toBe(0)
    expect(store('float64', 'float32', 2 ** 128 - 2 ** 103 - 2 ** 75)).toBe(-1)
    expect(store('float64', 'float32', 2 ** 128 - 2 ** 103)).toBe(0)
    expect(store('float32', 'bfloat16', 3.3895313892515355e38)).toBe(-1)
    expect(store('float32', 'bfloat16', 3.4028234663852886e38)).toBe(0)
  })

  test('rounds float64 to float32 first, and the result to 16 bits', () => {
    const value = 1 + 2 ** -11 + 2 ** -40
    writeElement('float64', 64, value)
    pair.kernels.ingest('float64', 'float16', 64, 1, 0)
    expect(pair.tableView.getFloat16(ROWS_AT, true)).toBe(Math.f16round(Math.fround(value)))
    expect(Math.f16round(Math.fround(value))).not.toBe(Math.f16round(value))
  })
})

describe('the kernel convert', () => {
  test('writes the same bits as its reference, and returns the same element', () => {
    fc.assert(
      fc.property(cases, ({ conversion: { source, target }, count, shift, allFinite, seed }) => {
        pair.scramble(seed)
        writeElements(source, 64 + shift, count, allFinite)
        const targetAt = 64 + shift + count * ELEMENT_BYTES[source]
        pair.copy()
        const found = pair.kernels.convert(source, target, 64 + shift, count, targetAt)
        expect(found).toBe(pair.reference.convert(source, target, 64 + shift, count, targetAt))
        expect(pair.difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test('works in place when the elements do not become wider', () => {
    const narrowing = CONVERSIONS.filter(
      ({ source, target }) => ELEMENT_BYTES[target] <= ELEMENT_BYTES[source],
    )
    expect(narrowing).toHaveLength(10)
    for (const { source, target } of narrowing) {
      pair.scramble(1)
      writeElements(source, 64, 103, false)
      pair.copy()
      pair.kernels.convert(source, target, 64, 103, 64)
      pair.reference.convert(source, target, 64, 103, 64)
      expect(pair.difference(), `${source} to ${target}`).toBeNull()
    }
  })

  test('widens each of the 65,536 float16 and bfloat16 values exactly', () => {
    const halves = Uint16Array.from({ length: 65_536 }, (_, half) => half)
    pair.arena.set(new Uint8Array(halves.buffer), 64)
    const widened = new Float32Array(pair.arena.buffer, 3 * PAGE, 65_536)
    pair.kernels.convert('float16', 'float32', 64, 65_536, 3 * PAGE)
    expect(widened.every((value, half) => Object.is(value, new Float16Array(halves.buffer)[half]))).toBe(true)
    pair.kernels.convert('bfloat16', 'float32', 64, 65_536, 3 * PAGE)
    const bits = new Uint32Array(pair.arena.buffer, 3 * PAGE, 65_536)
    expect(bits.every((value, half) => value === (half << 16) >>> 0)).toBe(true)
  })

  test.each(['float16', 'bfloat16'] as const)(
    'copies every %s of the same type, NaN with its bits',
    (type) => {
      const halves = Uint16Array.from({ length: 65_535 }, (_, i) => 65_535 - i)
      pair.arena.set(new Uint8Array(halves.buffer), 64)
      expect(pair.kernels.convert(type, type, 64, halves.length, 3 * PAGE)).toBe(0)
      expect(new Uint16Array(pair.arena.buffer, 3 * PAGE, halves.length)).toEqual(halves)
      expect(pair.kernels.ingest(type, type, 64, halves.length, 0)).toBe(0)
      expect(new Uint16Array(pair.table.buffer, ROWS_AT, halves.length)).toEqual(halves)
    },
  )

  /** Converts float32 bits to 16-bit ones. */
  const narrow = (target: TargetType, bits: Uint32Array): Uint16Array => {
    pair.arena.set(new Uint8Array(bits.buffer), 64)
    pair.kernels.convert('float32', target, 64, bits.length, 10 * PAGE)
    return new Uint16Array(pair.arena.buffer, 10 * PAGE, bits.length)
  }
  const isRight = (target: TargetType, bits: Uint32Array): boolean => {
    const values = new Float32Array(bits.buffer)
    const halves = narrow(target, bits)
    const nearest =
      target === 'float16'
        ? Uint16Array.from(new Uint16Array(Float16Array.from(values).buffer))
        : bits.map(nearestBfloat16)
    const nan = target === 'float16' ? 0x7c00 : 0x7f80
    return halves.every((half, i) => (Number.isNaN(values[i]) ? (half & 0x7fff) > nan : half === nearest[i]))
  }
  const nearestBfloat16 = (bits: number): number => {
    const [down] = new Float32Array(Uint32Array.of(bits & 0xffff0000).buffer)
    const upper = (bits >>> 16) + 1
    // The neighbour above the largest number is infinity, which stands for 2^128.
    const up =
      (upper & 0x7fff) === 0x7f80
        ? Math.sign(down) * 2 ** 128
        : new Float32Array(Uint32Array.of(upper << 16).buffer)[0]
    const [value] = new Float32Array(Uint32Array.of(bits).buffer)
    if (!Number.isFinite(value)) return bits >>> 16
    const below = Math.abs(value - down)
    const above = Math.abs(up - value)
    return below < above || (below === above && upper % 2 === 1) ? upper - 1 : upper
  }

  test('narrows float32 to the nearest float16 and bfloat16, half to even', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        pair.scramble(seed)
        const bits = new Uint32Array(pair.arena.slice(0, PAGE * 4).buffer)
        return isRight('float16', bits) && isRight('bfloat16', bits)
      }),
      { numRuns: 6 },
    )
  })

  test('narrows numbers at, just below and just above every boundary of 16-bit values correctly', () => {
    const bfloat16 = Uint32Array.from({ length: 65_536 }, (_, half) => (half << 16) | 0x8000)
    for (const step of [-1, 0, 1]) {
      const shifted = bfloat16.map((bits) => bits + step)
      expect(isRight('bfloat16', shifted)).toBe(true)
    }
    const middles = Float32Array.from({ length: 0x7c00 }, (_, i) => {
      const [low, high] = new Float16Array(Uint16Array.of(i, i + 1).buffer)
      return (low + (high === Infinity ? 65_536 : high)) / 2
    })
    const float16 = new Uint32Array(middles.buffer)
    for (const step of [-1, 0, 1]) {
      expect(
        isRight(
          'float16',
          float16.map((bits) => bits + step),
        ),
      ).toBe(true)
      expect(
        isRight(
          'float16',
          float16.map((bits) => (bits + step) | 0x80000000),
        ),
      ).toBe(true)
    }
  })
})

describe('the kernel finite', () => {
  test('finds the first infinity or NaN at any position', () => {
    for (const count of DIMS) {
      const values = new Float32Array(count).fill(3.4028234663852886e38)
      for (let bad = 0; bad <= count; bad++) {
        for (const value of [NaN, Infinity, -Infinity]) {
          values.fill(-3.4028234663852886e38)
          for (let i = bad; i < count; i += 3) values[i] = value
          pair.arena.set(new Uint8Array(values.buffer), 67)
          new Uint8Array(pair.arena.buffer, 67 + count * 4, 16).fill(255)
          expect(pair.kernels.finite(67, count)).toBe(bad === count ? -1 : bad)
        }
      }
    }
    expect(pair.kernels.finite(64, 0)).toBe(-1)
  })
})
