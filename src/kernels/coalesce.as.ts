// Which distinct rows the indices of an update mean: inbox -> arena.
import { inboxLoad32 } from './access.as'

/** As in inbox.ts. */
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
 * Rows stand in the order in which they first appear: row of slot s at `rowsAt`, where it appears first and last at `firstsAt` and `lastsAt`, and
 * for each index where the same row appears next, or -1. A table of `capacity` (a power of two, more than `count`) slots at `slotsAt` finds them.
 */
export function coalesce(
  indicesAt: usize, count: i32, rowCount: i32, skippedRow: i32,
  slotsAt: usize, capacity: i32, rowsAt: usize, firstsAt: usize, lastsAt: usize, nextsAt: usize,
): i32 {
  clearSlots(slotsAt, capacity)
  const mask = capacity - 1
  let slotCount = 0
  for (let i = 0; i < count; i++) {
    const row = <i32>inboxLoad32(indicesAt + (<usize>i << 2))
    if (<u32>row >= <u32>rowCount) return -1 - i
    store<i32>(nextsAt + (<usize>i << 2), -1)
    if (row == skippedRow) continue
    let at = ((row * <i32>0x9e3779b1) >>> 7) & mask
    let slot = load<i32>(slotsAt + (<usize>at << 2))
    while (slot != FREE && load<i32>(rowsAt + (<usize>slot << 2)) != row) {
      at = (at + 1) & mask
      slot = load<i32>(slotsAt + (<usize>at << 2))
    }
    if (slot == FREE) {
      slot = slotCount++
      store<i32>(slotsAt + (<usize>at << 2), slot)
      store<i32>(rowsAt + (<usize>slot << 2), row)
      store<i32>(firstsAt + (<usize>slot << 2), i)
    } else store<i32>(nextsAt + (<usize>load<i32>(lastsAt + (<usize>slot << 2)) << 2), i)
    store<i32>(lastsAt + (<usize>slot << 2), i)
  }
  return slotCount
}
