// Finds the distinct rows among the indices of an update: update source -> arena.
import { updateSourceLoad32 } from './access.as'

/** The content of a slot that no row has taken yet. */
const FREE: i32 = -1

/** memory.fill would be a call into the engine. */
@inline
function clearSlots(slotsAt: usize, capacity: i32): void {
  const free = i32x4.splat(FREE)
  let i = 0
  for (; i <= capacity - 4; i += 4) v128.store(slotsAt + (<usize>i << 2), free)
  for (; i < capacity; i++) store<i32>(slotsAt + (<usize>i << 2), FREE)
}

/**
 * Rows stand in the order in which they first appear: row of slot s at `rowsAt`, where it appears first and
 * last at `firstsAt` and `lastsAt`, and for each index where the same row appears next, or -1. A table of
 * `capacity` (a power of two, more than `count`) slots at `slotsAt` finds them.
 */
export function coalesce(
  indicesAt: usize, count: i32, rowCount: i32, skippedRow: i32,
  slotsAt: usize, capacity: i32, rowsAt: usize, firstsAt: usize, lastsAt: usize, nextsAt: usize,
): i32 {
  clearSlots(slotsAt, capacity)
  const mask = capacity - 1
  let slotCount = 0
  for (let i = 0; i < count; i++) {
    const row = <i32>updateSourceLoad32(indicesAt + (<usize>i << 2))
    if (<u32>row >= <u32>rowCount) return -1 - i
    if (row == skippedRow) {
      store<i32>(nextsAt + (<usize>i << 2), -1)
      continue
    }
    let at = ((row * <i32>0x9e3779b1) >>> 7) & mask
    let slot = load<i32>(slotsAt + (<usize>at << 2))
    // One test for both ends: a place that is free reads what lies before the rows, and whether that is equal
    // does not matter.
    while (!(i32(slot == FREE) | i32(load<i32>(rowsAt + (<usize>slot << 2)) == row))) {
      at = (at + 1) & mask
      slot = load<i32>(slotsAt + (<usize>at << 2))
    }
    // Whether a row is new is a coin toss, so nothing is asked: a new one goes before itself, and that link
    // is cut.
    const isNew = slot == FREE
    slot = select(slotCount, slot, isNew)
    slotCount += i32(isNew)
    store<i32>(slotsAt + (<usize>at << 2), slot)
    store<i32>(rowsAt + (<usize>slot << 2), row)
    const firstAt = firstsAt + (<usize>slot << 2)
    const lastAt = lastsAt + (<usize>slot << 2)
    store<i32>(firstAt, select(i, load<i32>(firstAt), isNew))
    store<i32>(nextsAt + (<usize>select(i, load<i32>(lastAt), isNew) << 2), i)
    store<i32>(nextsAt + (<usize>i << 2), -1)
    store<i32>(lastAt, i)
  }
  return slotCount
}
