import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import { type AdaptedRows, instantiateLoraKernels } from '../../src/kernels/lora.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { makeReferenceLoraKernels } from '../../src/kernels/reference/lora.ts'
import { ROWS_AT, SPARE_BYTES } from '../../src/layout/table-layout.ts'
import { PROPERTY_RUNS, PROPERTY_TIMEOUT_MS } from '../helpers/property-runs.ts'

vi.setConfig({ testTimeout: PROPERTY_TIMEOUT_MS })

const PAGE = 65_536
const SECOND_BYTES = 2 * PAGE
const ARENA_BYTES = 4 * PAGE
const IDS_AT = 64
const FACTORS_AT = 4096
const ROWS_IN_ARENA_AT = PAGE
const QUIET_NAN = 0x7fc0_0000

const secondMemory = createTableMemory(SECOND_BYTES)
const arenaMemory = createArenaMemory(ARENA_BYTES)
const arenaWords = new Int32Array(arenaMemory.buffer)
const arenaFloats = new Float32Array(arenaMemory.buffer)
const secondFloats = new Float32Array(secondMemory.buffer)
const referenceWords = new Int32Array(ARENA_BYTES / 4)
const kernels = instantiateLoraKernels(secondMemory, arenaMemory)
const reference = makeReferenceLoraKernels(secondMemory.buffer, referenceWords.buffer)

interface LoraCase {
  ids: number[]
  rank: number
  dim: number
  scale: number
  seed: number
}

/** Numbers at which float32 arithmetic is likely to differ. */
const specials = [0, -0, 1, -1, Infinity, -Infinity, NaN, 3e38, -3e38, 1e-40, 16_777_216, 0.1]

/** Fills both memories with numbers that `seed` determines. */
const prepare = ({ ids, rank, dim, scale, seed }: LoraCase): AdaptedRows => {
  let state = seed | 1
  const number = (): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    const random = (state >>> 0) / 2 ** 32
    return random < 0.02
      ? specials[(state >>> 4) % specials.length]
      : (random - 0.5) * 2 ** ((state & 15) - 6)
  }
  arenaWords.fill(-1_515_870_811)
  for (const [i, id] of ids.entries()) arenaWords[IDS_AT / 4 + i] = id
  for (let i = 0; i < ids.length * rank; i++) arenaFloats[FACTORS_AT / 4 + i] = number()
  for (let i = 0; i < ids.length * dim; i++) arenaFloats[ROWS_IN_ARENA_AT / 4 + i] = number()
  for (let i = 0; i < rank * dim; i++) secondFloats[ROWS_AT / 4 + i] = number()
  referenceWords.set(arenaWords)
  return {
    idsAt: IDS_AT,
    count: ids.length,
    factorsAt: FACTORS_AT,
    rank,
    scale,
    rowsAt: ROWS_IN_ARENA_AT,
    dim,
  }
}

/** Describes the first difference of the arenas, or returns null. All NaN are equal. */
const difference = (): string | null => {
  const isNaNWord = (word: number): boolean => (word & 0x7fff_ffff) > 0x7f80_0000
  const unify = (word: number): number => (isNaNWord(word) ? QUIET_NAN : word)
  const at = arenaWords.findIndex(
    (word, i) => word !== referenceWords[i] && unify(word) !== unify(referenceWords[i]),
  )
  const expected = new Float32Array(referenceWords.buffer)[at]
  return at < 0
    ? null
    : `number ${at - ROWS_IN_ARENA_AT / 4}: kernel ${arenaFloats[at]}, reference ${expected}`
}

const id = fc.oneof(
  { weight: 6, arbitrary: fc.nat({ max: 2 ** 31 - 1 }) },
  { weight: 1, arbitrary: fc.constantFrom(-1, -(2 ** 31)) },
)
const dims = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 2, arbitrary: fc.constantFrom(1, 3, 4, 5, 15, 16, 17, 19, 20, 31, 32, 33, 64) },
  { weight: 1, arbitrary: fc.integer({ min: 41, max: 300 }) },
)
const cases: fc.Arbitrary<LoraCase> = fc.record({
  ids: fc.array(id, { maxLength: 6 }),
  rank: fc.oneof(fc.integer({ min: 1, max: 8 }), fc.integer({ min: 9, max: 40 })),
  dim: dims,
  scale: fc.oneof(
    fc.float({ noNaN: true, min: -4, max: 4 }),
    fc.constantFrom(0, -0, 0.1, 1, 2, Math.fround(3e38)),
  ),
  seed: fc.integer(),
})

const run = (loraCase: LoraCase): void => {
  const rows = prepare(loraCase)
  kernels.addProducts(rows)
  reference.addProducts(rows)
}

describe('adding an adapter by the kernels', () => {
  test('equals its reference to the bit, and writes nothing else', () => {
    fc.assert(
      fc.property(cases, (loraCase) => {
        run(loraCase)
        expect(difference()).toBeNull()
      }),
      { numRuns: PROPERTY_RUNS },
    )
  })

  test('equals it for every dim up to 300', () => {
    for (let dim = 1; dim <= 300; dim++) {
      run({ ids: [5, -1, 0, 9], rank: 1 + (dim % 17), dim, scale: 0.5, seed: dim })
      expect(difference(), `dim ${dim}`).toBeNull()
    }
  })

  test('sums in the order of the factors, and rounds after each operation', () => {
    const rows = prepare({ ids: [0, -1], rank: 3, dim: 1, scale: 0.5, seed: 1 })
    arenaFloats.set([1, 1, 1, 1, 1, 1], FACTORS_AT / 4)
    secondFloats.set([16_777_216, 1, 1], ROWS_AT / 4)
    arenaFloats.set([1, 7], ROWS_IN_ARENA_AT / 4)
    kernels.addProducts(rows)
    // 2^24 + 1 is rounded to 2^24 twice; then 1 + 2^23 is exact. A row with a negative id does not change.
    expect(Array.from(arenaFloats.subarray(ROWS_IN_ARENA_AT / 4, ROWS_IN_ARENA_AT / 4 + 2))).toEqual([
      8_388_609, 7,
    ])
  })

  test('works with a second factor at the end of its memory', () => {
    const dim = 33
    const rank = Math.floor((SECOND_BYTES - ROWS_AT - SPARE_BYTES) / (dim * 4))
    const rows = prepare({ ids: [1], rank, dim, scale: 1, seed: 3 })
    kernels.addProducts(rows)
    reference.addProducts(rows)
    expect(difference()).toBeNull()
  })

  const JUST: LoraCase = { ids: [1, 2], rank: 2, dim: 8, scale: 1, seed: 1 }

  test('accepts rows that just fit', () => {
    kernels.addProducts({ ...prepare(JUST), rowsAt: ARENA_BYTES - 64 })
    kernels.addProducts({ ...prepare(JUST), factorsAt: ARENA_BYTES - 16 })
    kernels.addProducts({ ...prepare(JUST), idsAt: ARENA_BYTES - 8 })
  })

  test.each([
    { rowsAt: ARENA_BYTES - 63 },
    { factorsAt: ARENA_BYTES - 15 },
    { idsAt: ARENA_BYTES - 7 },
    { count: -1 },
    { rank: 0 },
    { dim: 0 },
    { rank: (SECOND_BYTES - ROWS_AT) / 32, count: 0 },
  ])('asserts against %o', (change) => {
    expect(() => kernels.addProducts({ ...prepare(JUST), ...change })).toThrow(AssertionFailure)
  })
})

test('The adapter kernels import the two memories and nothing else', () => {
  const module = new WebAssembly.Module(
    readFileSync(join(import.meta.dirname, '../../src/kernels/compiled/lora.wasm')),
  )
  expect(
    WebAssembly.Module.imports(module)
      .map(({ module: from, name }) => `${from}.${name}`)
      .sort(),
  ).toEqual(['env.arena', 'env.table'])
})
