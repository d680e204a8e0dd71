import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import {
  type CoalescedAt,
  type UpdateSourceKernels,
  instantiateUpdateSourceKernels,
} from '../../src/kernels/update-source.ts'
import { createArenaMemory } from '../../src/kernels/memories.ts'
import { makeReferenceUpdateSourceKernels } from '../../src/kernels/reference/update-source.ts'
import { DIMS } from './pair.ts'
import { runsOf } from '../helpers/property-runs.ts'

const MEMORY_BYTES = 131_072
const INDICES_AT = 64
const VALUES_AT = 1024
const TARGET_AT = 65_536
const FOUND: CoalescedAt = {
  slotsAt: 0,
  capacity: 64,
  rowsAt: 1024,
  firstsAt: 2048,
  lastsAt: 3072,
  nextsAt: 4096,
}

/** An update source, an arena for the kernels, and an arena for their reference. */
const sourceMemory = createArenaMemory(MEMORY_BYTES)
const arenaMemory = createArenaMemory(MEMORY_BYTES)
const referenceArena = new SharedArrayBuffer(MEMORY_BYTES)
const kernels = instantiateUpdateSourceKernels(sourceMemory, arenaMemory)
const reference = makeReferenceUpdateSourceKernels(sourceMemory.buffer, referenceArena)
const updateSource = {
  int32: new Int32Array(sourceMemory.buffer),
  float32: new Float32Array(sourceMemory.buffer),
}
const arena = { int32: new Int32Array(arenaMemory.buffer), float32: new Float32Array(arenaMemory.buffer) }
const referenceInt32 = new Int32Array(referenceArena)

const EXPONENT = 0x7f80_0000

/**
 * Fills words with finite numbers that `seed` determines: of every magnitude, or within -4..4 if `isPlain`.
 */
const fill = (words: Int32Array, seed: number, isPlain: boolean): void => {
  const floats = new Float32Array(words.buffer)
  let state = seed | 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    if (isPlain) floats[i] = state / 2 ** 29
    else words[i] = (state & EXPONENT) === EXPONENT ? state ^ 0x4000_0000 : state
  }
}

/**
 * Describes the first difference of the arenas, or returns null. All NaN are equal, because processors choose
 * their bits.
 */
const difference = (): string | null => {
  if (Buffer.compare(new Uint8Array(arenaMemory.buffer), new Uint8Array(referenceArena)) === 0) return null
  const isNaNBits = (bits: number): boolean => (bits & 0x7fff_ffff) > EXPONENT
  const at = arena.int32.findIndex(
    (word, i) => word !== referenceInt32[i] && !(isNaNBits(word) && isNaNBits(referenceInt32[i])),
  )
  return at < 0 ? null : `word ${at}: kernel ${arena.int32[at]}, reference ${referenceInt32[at]}`
}

/** Runs both over equal arenas, and checks that the update source does not change. */
const runBoth = (run: (kernels: UpdateSourceKernels) => number | void): number | void => {
  const before = updateSource.int32.slice()
  referenceInt32.set(arena.int32)
  const [answer, expected] = [run(kernels), run(reference)]
  expect(answer).toBe(expected)
  expect(difference()).toBeNull()
  expect(
    Buffer.compare(Buffer.from(before.buffer), Buffer.from(sourceMemory.buffer)),
    'the update source is only read',
  ).toBe(0)
  return answer
}

const coalesce = (indices: number[], { rowCount = 2 ** 31 - 2, skipped = -1 } = {}): number => {
  updateSource.int32.set(indices, INDICES_AT / 4)
  return runBoth((some) => some.coalesce(INDICES_AT, indices.length, rowCount, skipped, FOUND)) as number
}

const listsOf = (count: number): number[][] =>
  Array.from({ length: count }, (_, slot) => {
    const places = [arena.int32[FOUND.firstsAt / 4 + slot]]
    for (let i = arena.int32[FOUND.nextsAt / 4 + places[0]]; i >= 0; i = arena.int32[FOUND.nextsAt / 4 + i])
      places.push(i)
    expect(arena.int32[FOUND.lastsAt / 4 + slot]).toBe(places.at(-1))
    return places
  })

const rowsOf = (count: number): number[] => [
  ...arena.int32.subarray(FOUND.rowsAt / 4, FOUND.rowsAt / 4 + count),
]

describe('Equal rows of an update', () => {
  test('become one row, in the order of first occurrence, with their positions in order', () => {
    const count = coalesce([7, 3, 7, 0, 3, 7])
    expect(rowsOf(count)).toEqual([7, 3, 0])
    expect(listsOf(count)).toEqual([[0, 2, 5], [1, 4], [3]])
  })

  test('are left out when they are the skipped row', () => {
    const count = coalesce([7, 3, 7], { skipped: 7 })
    expect(rowsOf(count)).toEqual([3])
    expect(listsOf(count)).toEqual([[1]])
  })

  test('are refused with the position of the first index that is not a row', () => {
    expect(coalesce([1, 2, 3, -1], { rowCount: 3 })).toBe(-1 - 2)
    expect(coalesce([1, 2, -1, 3], { rowCount: 3 })).toBe(-1 - 2)
    expect(coalesce([2 ** 31 - 1], { rowCount: 2 ** 31 - 2 })).toBe(-1)
  })

  test('are found as by a Map and by the reference', () => {
    const row = fc.oneof(
      fc.nat({ max: 20 }),
      fc.integer({ min: 0, max: 2 ** 31 - 3 }),
      fc.integer({ min: -1, max: 30 }),
    )
    const property = fc.property(
      fc.array(row, { maxLength: 63 }),
      fc.integer({ min: -1, max: 20 }),
      fc.integer(),
      (indices, skipped, seed) => {
        fill(arena.int32, seed, false)
        const count = coalesce(indices, { skipped })
        if (indices.includes(-1)) {
          expect(count).toBe(-1 - indices.indexOf(-1))
          return
        }
        const wanted = indices.filter((index) => index !== skipped)
        expect(rowsOf(count)).toEqual([...new Set(wanted)])
        const places = rowsOf(count).map((distinct) =>
          indices.flatMap((index, i) => (index === distinct ? [i] : [])),
        )
        expect(listsOf(count)).toEqual(places)
      },
    )
    fc.assert(property, { numRuns: runsOf({ quick: 300, long: 3_000 }) })
  })
})

const combined = fc.record({
  indices: fc.array(fc.nat({ max: 12 }), { maxLength: 24 }),
  skipped: fc.constantFrom(-1, 0),
  dim: fc.oneof(fc.constantFrom(...DIMS), fc.integer({ min: 1, max: 300 })),
  shift: fc.nat({ max: 8 }),
  seed: fc.integer(),
  isPlain: fc.boolean(),
})

describe('Values of equal rows', () => {
  test.each(['sumRows', 'addRows', 'copyRows'] as const)(
    'are combined by %s as by its reference, to the bit, and the update source does not change',
    (name) => {
      const property = fc.property(combined, ({ indices, skipped, dim, shift, seed, isPlain }) => {
        fill(updateSource.int32, seed, isPlain)
        fill(arena.int32, seed ^ 0x5bd1_e995, isPlain)
        const count = coalesce(indices, { skipped })
        const [valuesAt, targetAt] = [VALUES_AT, TARGET_AT].map((at) => at + shift * 4)
        runBoth((some) =>
          name === 'copyRows'
            ? some.copyRows(FOUND.lastsAt, count, valuesAt, indices.length, targetAt, dim)
            : some[name](FOUND.firstsAt, FOUND.nextsAt, count, valuesAt, indices.length, targetAt, dim),
        )
      })
      fc.assert(property, { numRuns: runsOf({ quick: 500, long: 5_000 }) })
    },
    120_000,
  )

  const run = (
    name: 'sumRows' | 'addRows' | 'copyRows',
    indices: number[],
    rows: number[],
    targets: number[],
  ): number[] => {
    const count = coalesce(indices)
    updateSource.float32.set(rows, VALUES_AT / 4)
    arena.float32.set(targets, TARGET_AT / 4)
    if (name === 'copyRows') kernels.copyRows(FOUND.lastsAt, count, VALUES_AT, rows.length, TARGET_AT, 1)
    else kernels[name](FOUND.firstsAt, FOUND.nextsAt, count, VALUES_AT, rows.length, TARGET_AT, 1)
    return [...arena.float32.subarray(TARGET_AT / 4, TARGET_AT / 4 + count)]
  }

  test('are summed in float32 in order, so that small numbers are lost after a large one', () => {
    expect(run('sumRows', [5, 5, 6, 5], [2 ** 24, 1, 7, 1], [])).toEqual([2 ** 24, 7])
    expect(run('sumRows', [5, 5, 5], [1, 1, 2 ** 24], [])).toEqual([2 ** 24 + 2])
    expect(run('addRows', [5, 6, 5], [1, 1, 1], [2 ** 24, 10])).toEqual([2 ** 24, 11])
  })

  test('are copied from the last occurrence', () => {
    expect(run('copyRows', [5, 6, 5], [1, 2, 3], [9, 9])).toEqual([3, 2])
  })
})

test('The first number that is not finite is found at any position', () => {
  for (const count of [0, 1, 3, 4, 5, 64, 67]) {
    updateSource.float32.fill(3e38, 0, 128)
    expect(runBoth((some) => some.findNonFinite(64, count))).toBe(-1)
    for (let place = 0; place < count; place++) {
      updateSource.float32.fill(1, 0, 128)
      updateSource.float32.fill(place % 2 === 0 ? NaN : -Infinity, 16 + place, 128)
      expect(runBoth((some) => some.findNonFinite(64, count))).toBe(place)
    }
  }
})

test('The update source may be the arena', () => {
  const own = instantiateUpdateSourceKernels(arenaMemory, arenaMemory)
  arena.int32.set([4, 4], 16_384)
  expect(own.coalesce(65_536, 2, 5, -1, FOUND)).toBe(1)
  arena.float32.set([1, 2], 20_480)
  own.sumRows(FOUND.firstsAt, FOUND.nextsAt, 1, 81_920, 2, 98_304, 1)
  expect(arena.float32[98_304 / 4]).toBe(3)
})

test('The kernels assert that their arguments lie in the memories and are aligned', () => {
  const refused = (run: () => void) => expect(run).toThrow(AssertionFailure)
  const end = MEMORY_BYTES
  refused(() => kernels.coalesce(end, 1, 1, -1, FOUND))
  refused(() => kernels.coalesce(2, 1, 1, -1, FOUND))
  refused(() => kernels.coalesce(0, 64, 1, -1, FOUND))
  refused(() => kernels.coalesce(0, 1, 1, -1, { ...FOUND, capacity: 63 }))
  refused(() => kernels.coalesce(0, 1, -1, -1, FOUND))
  for (const name of ['slotsAt', 'rowsAt', 'firstsAt', 'lastsAt', 'nextsAt'] as const) {
    refused(() => kernels.coalesce(0, 1, 1, -1, { ...FOUND, [name]: end }))
  }
  for (const name of ['sumRows', 'addRows'] as const) {
    refused(() => kernels[name](0, 64, 1, end - 4, 2, 1024, 1))
    refused(() => kernels[name](0, 64, 2, 0, 2, end - 4, 1))
    refused(() => kernels[name](end, 64, 1, 0, 1, 1024, 1))
    refused(() => kernels[name](0, end, 1, 0, 1, 1024, 1))
  }
  refused(() => kernels.copyRows(end, 1, 0, 1, 1024, 1))
  refused(() => kernels.copyRows(0, 1, end, 1, 1024, 1))
  refused(() => kernels.copyRows(0, 1, 0, 1, end, 1))
  refused(() => kernels.findNonFinite(end, 1))
  refused(() => kernels.findNonFinite(2, 1))
})
