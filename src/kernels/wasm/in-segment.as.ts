/**
 * Fast paths for blocks whose ids are all rows of one segment, which is the case for nearly every block. One
 * check of the block replaces a check of each id.
 */
import { tableLoad8 } from './access.as'
import { touchRow } from './copy.as'

/** Returns true if every id is a row of this segment. */
export function areInside(idsAt: usize, count: i32, firstRow: i32, rowCount: i32): bool {
  const first = i32x4.splat(firstRow)
  const limit = i32x4.splat(rowCount)
  let outside = i32x4.splat(0)
  let i = 0
  for (; i <= count - 4; i += 4) {
    outside = v128.or(outside, i32x4.ge_u(i32x4.sub(v128.load(idsAt + (i << 2)), first), limit))
  }
  if (v128.any_true(outside)) return false
  for (; i < count; i++) if (<u32>(load<i32>(idsAt + (i << 2)) - firstRow) >= <u32>rowCount) return false
  return true
}

/** Returns the address that row 0 of the table would have in this segment. */
@inline
export function baseOf(firstRow: i32, rowBytes: i32): u64 {
  return <u64>ROWS_AT - <u64>(<u32>firstRow) * <u64>(<u32>rowBytes)
}

/** Returns the address of the row whose id is at `idAt`. */
@inline
export function rowOf(idAt: usize, base: u64, rowBytes: i32): u64 {
  return base + <u64>load<u32>(idAt) * <u64>(<u32>rowBytes)
}

/**
 * Touches rows that are all inside the segment: loads one byte of four cache lines of each row, then of the
 * next four.
 */
export function touchInside(idsAt: usize, count: i32, base: u64, rowBytes: i32): void {
  const end = idsAt + (count << 2)
  let k = 0
  for (; k <= rowBytes - 256; k += 256) {
    const from = base + <u64>k
    for (let id = idsAt; id < end; id += 4) {
      const at = rowOf(id, from, rowBytes)
      tableLoad8(at)
      tableLoad8(at + 64)
      tableLoad8(at + 128)
      tableLoad8(at + 192)
    }
  }
  if (k == rowBytes) return
  for (let id = idsAt; id < end; id += 4) touchRow(rowOf(id, base + <u64>k, rowBytes), rowBytes - k)
}
