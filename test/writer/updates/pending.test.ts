import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PendingRows } from '../../../src/writer/updates/pending.ts'

const ROW_BYTES = 8
const STATE_BYTES = 12

describe('Rows that a batch has computed', () => {
  test('are found as their last update left them, with the state after the last step', () => {
    const updates = fc.array(
      fc.record({
        rows: fc.uniqueArray(
          fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 2 ** 31 - 3 })),
          { maxLength: 60 },
        ),
        isStep: fc.boolean(),
      }),
      { maxLength: 12 },
    )
    fc.assert(
      fc.property(updates, (all) => {
        const pending = new PendingRows()
        const expected = new Map<number, { rowAt: number; stateAt: number }>()
        all.forEach(({ rows, isStep }, i) => {
          const rowsAt = 64 + i * 4096
          const stateAt = isStep ? rowsAt + 2048 : 0
          pending.enter(Int32Array.from(rows), {
            rowsAt,
            rowBytes: ROW_BYTES,
            stateAt,
            stateBytes: STATE_BYTES,
          })
          rows.forEach((row, k) =>
            expected.set(row, {
              rowAt: rowsAt + k * ROW_BYTES,
              stateAt: isStep ? stateAt + k * STATE_BYTES : (expected.get(row)?.stateAt ?? 0),
            }),
          )
        })
        expect(pending.size).toBe(expected.size)
        for (const [row, at] of expected) {
          const place = pending.find(row)
          expect({ rowAt: pending.rowAt(place), stateAt: pending.stateAt(place) }).toEqual(at)
        }
        for (const row of [41, 42, 2 ** 31 - 2]) if (!expected.has(row)) expect(pending.find(row)).toBe(-1)
      }),
    )
  })

  test('are none at first', () => {
    expect([new PendingRows().size, new PendingRows().find(0)]).toEqual([0, -1])
  })
})
