/**
 * Finds the distinct rows among the indices of an update, which it reads from the update source, and writes
 * lists of them to the arena.
 */
import { updateSourceLoad32 } from './access.as'

/** Marks a slot of the hash table that no row uses yet. */
const FREE: i32 = -1

/** Marks all slots as free. A loop is used because memory.fill would be a call into the engine. */
@inline
function clearSlots(slotsAt: usize, capacity: i32): void {
  const free = i32x4.splat(FREE)
  let i = 0
  for (; i <= capacity - 4; i += 4) v128.store(slotsAt + (<usize>i << 2), free)
  for (; i < capacity; i++) store<i32>(slotsAt + (<usize>i << 2), FREE)
}

/**
 * Lists the distinct rows in the order of their first appearance: the row of slot s at `rowsAt`, its first
 * and last position at `firstsAt` and `lastsAt`, and at `nextsAt`, for each index, the next position of the
 * same row, or -1. A hash table of `capacity` slots (a power of two, more than `count`) at `slotsAt` finds
 * them. Returns the count of rows, or -1 - i if index i is out of range.
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
    // A single test covers both ends of the probe. For a free slot it reads the word before the rows, whose
    // value does not matter.
    while (!(i32(slot == FREE) | i32(load<i32>(rowsAt + (<usize>slot << 2)) == row))) {
      at = (at + 1) & mask
      slot = load<i32>(slotsAt + (<usize>at << 2))
    }
    // Whether a row is new is unpredictable, so the code avoids a branch: a new row is linked to itself, and
    // the store of -1 below cuts that link.
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
