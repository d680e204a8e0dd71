import { describe, expect, test } from 'vitest'
import { AssertionFailure } from '../../src/core/assert.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { instantiateKernels } from '../../src/kernels/table.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'

const PAGE = 65_536
const kernels = instantiateKernels(createTableMemory(PAGE), createArenaMemory(PAGE))
/** The number of rows of 16 bytes in a table of one page. */
const ROWS = (PAGE - 8192 - 16) / 16

describe('the kernels of a table', () => {
  type Change = Partial<
    Record<'idsAt' | 'count' | 'outAt' | 'fillAt' | 'firstRow' | 'rowCount' | 'dim', number>
  >
  const gather = (change: Change, checked: boolean): void => {
    const { idsAt, count, outAt, fillAt, firstRow, rowCount, dim } = {
      idsAt: 64,
      count: 2,
      outAt: 128,
      fillAt: 0,
      firstRow: 0,
      rowCount: ROWS,
      dim: 4,
      ...change,
    }
    if (checked)
      kernels.gatherChecked('stored', 'float32', idsAt, 0, count, outAt, fillAt, firstRow, rowCount, dim)
    else kernels.gather('stored', 'float32', idsAt, count, outAt, fillAt, firstRow, rowCount, dim)
  }

  test('accept regions and segments that just fit', () => {
    for (const checked of [false, true]) {
      gather({}, checked)
      gather({ idsAt: PAGE - 8 }, checked)
      gather({ outAt: PAGE - 32 }, checked)
      gather({ fillAt: PAGE - 16 }, checked)
      gather({ count: 0, idsAt: PAGE, outAt: PAGE }, checked)
      gather({ firstRow: 2 ** 31 - 1 - ROWS }, checked)
      gather({ rowCount: 0, dim: LIMITS.dimMax, count: 0 }, checked)
    }
    expect(kernels.gatherChecked('stored', 'float32', 64, 2, 2, 128, 0, 0, ROWS, 4)).toBe(2)
  })

  test.each([
    { idsAt: PAGE - 7 },
    { idsAt: -4 },
    { idsAt: NaN },
    { idsAt: 0.5 },
    { idsAt: 2 ** 32 },
    { count: -1 },
    { count: 1.5 },
    { count: 2 ** 31 },
    { count: PAGE },
    { outAt: PAGE - 31 },
    { outAt: -1 },
    { fillAt: PAGE - 15 },
    { fillAt: -16 },
    { firstRow: -1 },
    { firstRow: 2 ** 31 - ROWS },
    { rowCount: ROWS + 1 },
    { rowCount: -1 },
    { dim: 5 },
    { dim: LIMITS.dimMax * 2 + 1 },
  ])('assert against %o in a gather', (change) => {
    expect(() => gather(change, false)).toThrow(AssertionFailure)
    expect(() => gather(change, true)).toThrow(AssertionFailure)
  })

  test('assert that the start is not behind the end', () => {
    expect(() => kernels.gatherChecked('stored', 'float32', 64, 3, 2, 128, 0, 0, ROWS, 4)).toThrow(
      AssertionFailure,
    )
  })

  test('assert that a scatter stays in the memories', () => {
    kernels.scatter(64, 1, PAGE - 16, 0, ROWS, 16)
    expect(() => kernels.scatter(64, 1, PAGE - 15, 0, ROWS, 16)).toThrow(AssertionFailure)
    expect(() => kernels.scatter(PAGE - 3, 1, 64, 0, ROWS, 16)).toThrow(AssertionFailure)
    expect(() => kernels.scatter(64, 1, 128, 0, ROWS + 1, 16)).toThrow(AssertionFailure)
    expect(() => kernels.scatter(64, -1, 128, 0, ROWS, 16)).toThrow(AssertionFailure)
  })

  test('assert that ingest and quantise stay in the memories', () => {
    const space = PAGE - 8192 - 16
    expect(kernels.ingest('float32', 'float32', 64, 1, space - 4)).toBe(-1)
    expect(() => kernels.ingest('float32', 'float32', 64, 1, space - 3)).toThrow(AssertionFailure)
    expect(() => kernels.ingest('float32', 'float32', 64, 1, -1)).toThrow(AssertionFailure)
    expect(() => kernels.ingest('float32', 'float32', 64, 1, 0.5)).toThrow(AssertionFailure)
    expect(() => kernels.ingest('float64', 'float16', PAGE - 7, 1, 0)).toThrow(AssertionFailure)
    const rows = Math.floor(space / 12)
    expect(kernels.quantise(64, 1, 4, rows - 1)).toBe(-1)
    expect(() => kernels.quantise(64, 1, 4, rows)).toThrow(AssertionFailure)
    expect(() => kernels.quantise(PAGE - 15, 1, 4, 0)).toThrow(AssertionFailure)
  })

  test('assert that conversions do not overlap and stay in the arena', () => {
    kernels.convert('float32', 'float16', 64, 4, 64)
    expect(() => kernels.convert('float16', 'float32', 64, 4, 64)).toThrow(AssertionFailure)
    expect(() => kernels.convert('float32', 'float16', 64, 4, 66)).toThrow(AssertionFailure)
    expect(() => kernels.convert('float32', 'float16', 64, 4, 79)).toThrow(AssertionFailure)
    kernels.convert('float32', 'float16', 64, 4, 80)
    kernels.convert('float32', 'float16', 64, 4, 56)
    expect(() => kernels.convert('float32', 'float16', PAGE - 15, 4, 64)).toThrow(AssertionFailure)
    expect(() => kernels.convert('float32', 'float16', 64, 4, PAGE - 7)).toThrow(AssertionFailure)
    expect(() => kernels.finite(PAGE - 4, 2)).toThrow(AssertionFailure)
  })
})

describe('the memories of kernels', () => {
  test('are shared, of the requested size, and zero', () => {
    const table = createTableMemory(3 * PAGE)
    expect(table.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(new Uint8Array(table.buffer)).toEqual(new Uint8Array(3 * PAGE))
    expect(createArenaMemory(PAGE + 1).buffer.byteLength).toBe(2 * PAGE)
  })

  test('may be as large as a segment, with rows beyond 4 GiB', () => {
    const table = createTableMemory(LIMITS.segmentBytesMax)
    const arena = createArenaMemory(PAGE)
    const rowCount = (LIMITS.segmentBytesMax - 8192 - 16) / 16
    const last = new Uint8Array(table.buffer, 8192 + (rowCount - 1) * 16, 16)
    last.set(new Uint8Array(16).fill(7))
    new DataView(arena.buffer).setInt32(64, 5 + rowCount - 1, true)
    const large = instantiateKernels(table, arena)
    large.gather('stored', 'float32', 64, 1, 128, 0, 5, rowCount, 4)
    expect(new Uint8Array(arena.buffer, 128, 16)).toEqual(last)
    new Uint8Array(arena.buffer, 256, 16).fill(9)
    large.scatter(64, 1, 256, 5, rowCount, 16)
    expect([...last]).toEqual(Array(16).fill(9))
    expect(large.ingest('float32', 'float32', 128, 4, (rowCount - 1) * 16)).toBe(-1)
    expect([...last]).toEqual(Array(16).fill(7))
  })

  test('are refused with an invalid size', () => {
    expect(() => createTableMemory(PAGE + 1)).toThrow(AssertionFailure)
    expect(() => createTableMemory(LIMITS.segmentBytesMax + PAGE)).toThrow(AssertionFailure)
    expect(() => createArenaMemory(0)).toThrow(AssertionFailure)
    expect(() => createArenaMemory(2 ** 32 + 1)).toThrow(AssertionFailure)
  })
})
