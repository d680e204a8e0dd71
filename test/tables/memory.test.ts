import process from 'node:process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  memoryBytes,
  PAGE_BYTES,
  planSegments,
  ROWS_AT,
  rowBytes,
  SPARE_BYTES,
  tableBytes,
} from '../../src/layout/table-layout.ts'
import { memoriesOf } from '../../src/tables/handles.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { runsOf } from '../helpers/property-runs.ts'

describe('The layout of a table', () => {
  test('covers every row once in order, in segments within the bound and with spare bytes', () => {
    const segmentPages = fc.integer({ min: 1, max: 40 })
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 200_000 }),
        fc.integer({ min: 1, max: 4096 }),
        segmentPages,
        (rows, bytes, pages) => {
          const segments = planSegments(rows, bytes, pages * PAGE_BYTES)
          let next = 0
          for (const { firstRow, rowCount, memoryBytes } of segments) {
            expect(firstRow).toBe(next)
            expect(memoryBytes).toBeLessThanOrEqual(pages * PAGE_BYTES)
            expect(memoryBytes % PAGE_BYTES).toBe(0)
            expect(ROWS_AT + rowCount * bytes + SPARE_BYTES).toBeLessThanOrEqual(memoryBytes)
            next += rowCount
          }
          expect(next).toBe(rows)
          expect(segments.length).toBeGreaterThan(0)
        },
      ),
      { numRuns: runsOf({ quick: 40, long: 200 }) },
    )
  })

  test('counts bytes exactly beyond 2^32', () => {
    expect(tableBytes(2 ** 31 - 2, 65_536, 'float32')).toBe((2 ** 31 - 2) * 65_536 * 4)
    expect(rowBytes(7, 'int8')).toBe(15)
    expect(rowBytes(7, 'bfloat16')).toBe(14)
  })

  test('asserts that sizes are valid', () => {
    for (const rows of [-1, 1.5, NaN, 2 ** 31])
      expect(() => tableBytes(rows, 1, 'float32')).toThrowError(/rows/)
    expect(() => planSegments(1, PAGE_BYTES, PAGE_BYTES)).toThrowError(/at least one row/)
  })
})

describe('The memory quota', () => {
  const mebibyte = 1024 * 1024
  test('is reserved to the byte before memory is allocated', () => {
    const bytes = memoryBytes(planSegments(1000, 256))
    const memory = new TableMemory(2 * bytes)
    const { segments } = memory.allocate(1000, 256)
    memory.allocate(1000, 256)
    expect(memory.reservedBytes).toBe(2 * bytes)
    expect(() => memory.allocate(0, 4)).toThrowError(
      expect.objectContaining({ code: 'MEMORY_QUOTA_EXCEEDED' }),
    )
    memory.release(bytes, memoriesOf(segments))
    expect(memory.allocate(1000, 256).reservedBytes).toBe(bytes)
  })

  test('distinguishes a table that can never fit from one that does not fit now', () => {
    const memory = new TableMemory(mebibyte)
    expect(() => memory.allocate(mebibyte, 1)).toThrowError(/never/)
    memory.allocate(1000, 900)
    expect(() => memory.allocate(1000, 500)).toThrowError(/now/)
  })

  test('never goes below zero', () => {
    expect(() => new TableMemory(mebibyte).release(1, [])).toThrowError(/more than was reserved/)
  })

  test('is returned for the whole of a memory, or not at all', () => {
    const memory = new TableMemory(mebibyte)
    const { segments, reservedBytes } = memory.allocate(1000, 256)
    expect(() => memory.release(reservedBytes - 1, memoriesOf(segments))).toThrowError(/as a whole/)
  })

  test.skipIf(process.platform !== 'linux')(
    'is returned as the system gets the pages back, although other threads still hold the memory',
    async () => {
      const bytes = 160 * mebibyte
      const memory = new TableMemory(2 * bytes)
      const { segments, reservedBytes } = memory.allocate(bytes / 1024, 1024)
      const held = memoriesOf(segments)
      for (const { buffer } of held) new Uint8Array(buffer).fill(1)
      const residentBytes = process.memoryUsage.rss()
      memory.release(reservedBytes, held)
      // Part of it is given back at once, and the rest while other work runs in between.
      expect(memory.reservedBytes).toBeGreaterThan(0)
      expect(memory.reservedBytes).toBeLessThan(reservedBytes)
      await memory.whenGivenBack()
      expect(memory.reservedBytes).toBe(0)
      expect(residentBytes - process.memoryUsage.rss()).toBeGreaterThan(bytes / 2)
      expect(new Uint8Array(held[0].buffer)[0]).toBe(0)
    },
  )
})
