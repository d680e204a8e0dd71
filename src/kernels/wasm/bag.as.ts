/**
 * Pools bags of rows into one row each in one pass: every row is read once, widened in registers and added to
 * the row of its bag in the arena. Members are added in order and every operation rounds to float32, so that
 * the result of a bag is the same on every machine.
 */
import { fence, tableLoad8 } from './access.as'
import { addPacked, addSteps, memberAt, readLanes, rowsBase, Step, writeLanes } from './bag-row.as'
import { Operation, Source } from './codes.as'
import { sourceRowBytes } from './lanes.as'

/**
 * The number of members that are checked before the first of them is added, if rows are too small to be
 * touched.
 */
const BLOCK_MEMBERS: i32 = 128

/** The number of members between the touch of the first lines of a row and that of its fourth line. */
const FOURTH_BEHIND: i32 = 32

/** Counts the members, up to `count`, before the first that is not a row of this segment. */
function findMembers(members: usize, count: i32, firstRow: i32, rowCount: i32): i32 {
  for (let i = 0; i < count; i++) {
    if (<u32>(load<i32>(members + (i << 2)) - firstRow) >= <u32>rowCount) return i
  }
  return count
}

/** Touches up to four cache lines of each member's row, from offset `first` to its last byte. */
function touchLines(members: usize, count: i32, base: u64, rowBytes: i32, first: u64, last: u64): void {
  const second = min(first + 64, last)
  const third = min(first + 128, last)
  for (let i = 0; i < count; i++) {
    const at = memberAt(Source.Float32, members, i, base, rowBytes)
    tableLoad8(at + first)
    tableLoad8(at + second)
    tableLoad8(at + third)
    tableLoad8(at + last)
  }
}

/**
 * Touches four cache lines of each member's row. After the first three, the hardware prefetcher fetches the
 * fourth, which is touched only once it has arrived.
 */
function touchFours(members: usize, count: i32, base: u64, rowBytes: i32): void {
  const end = members + (count << 2)
  const behind = min(FOURTH_BEHIND, count) << 2
  for (let member = members; member < members + behind; member += 4) {
    const at = memberAt(Source.Float32, member, 0, base, rowBytes)
    tableLoad8(at)
    tableLoad8(at + 64)
    tableLoad8(at + 128)
  }
  for (let member = members + behind; member < end; member += 4) {
    const at = memberAt(Source.Float32, member, 0, base, rowBytes)
    tableLoad8(at)
    tableLoad8(at + 64)
    tableLoad8(at + 128)
    tableLoad8(memberAt(Source.Float32, member, -FOURTH_BEHIND, base, rowBytes) + 192)
  }
  for (let member = end - behind; member < end; member += 4) {
    tableLoad8(memberAt(Source.Float32, member, 0, base, rowBytes) + 192)
  }
}

/** Touches all cache lines of the members' rows, so that the cache misses of many rows overlap. */
function touchMembers(members: usize, count: i32, firstRow: i32, rowBytes: i32): void {
  const base = rowsBase(Source.Float32, firstRow, rowBytes)
  let k = 0
  for (; k <= rowBytes - 256; k += 256) touchFours(members, count, base + <u64>k, rowBytes)
  if (k < rowBytes) touchLines(members, count, base, rowBytes, <u64>k, <u64>(rowBytes - 1))
}

function clearRow(row: usize, dim: i32): void {
  for (let k = 0; k < dim; k += 4) writeLanes(row + (k << 2), i32x4.splat(0), dim - k)
}

/**
 * Returns the divisor of a bag: its count, the sum of its weights, or the root of the sum of their squares,
 * summed in the same order as the rows.
 */
@inline
function computeDivisor(operation: Operation, weights: usize, begin: i32, end: i32): f32 {
  if (operation == Operation.Sum || operation == Operation.Max) return 1
  let sum = <f32>(end - begin)
  if (weights != 0) {
    sum = 0
    for (let m = begin; m < end; m++) {
      const weight = load<f32>(weights + (m << 2))
      sum += operation == Operation.Mean ? weight : weight * weight
    }
  }
  return operation == Operation.Mean ? sum : sqrt<f32>(sum)
}

/** Replaces every NaN with 7FC00000, because the bits of a NaN depend on the processor. */
@inline
function replaceNan(lanes: v128): v128 {
  return v128.bitselect(lanes, i32x4.splat(0x7fc00000), f32x4.eq(lanes, lanes))
}

/** Divides the sums by the divisor. A divisor of zero gives zeros. */
function finishRow(row: usize, dim: i32, divisor: f32): void {
  if (divisor == 0) {
    clearRow(row, dim)
    return
  }
  const divisors = f32x4.splat(divisor)
  let k = 0
  if (divisor == 1) {
    for (; k <= dim - 16; k += 16) {
      const at = row + (k << 2)
      v128.store(at, replaceNan(v128.load(at)))
      v128.store(at, replaceNan(v128.load(at, 16)), 16)
      v128.store(at, replaceNan(v128.load(at, 32)), 32)
      v128.store(at, replaceNan(v128.load(at, 48)), 48)
    }
  }
  for (; k < dim; k += 4) {
    const at = row + (k << 2)
    writeLanes(at, replaceNan(f32x4.div(readLanes(at, dim - k), divisors)), dim - k)
  }
}

/**
 * Pools members `first`..`last`-1 into the rows of `bagCount` bags. Bag b has the members
 * offsets[b]..offsets[b+1]-1; it is started at the first of them and divided after the last, so that a bag
 * may be pooled in parts. A member that is not a row of the segment uses the row at `fillAt`. Packed rows
 * begin with that of member `first`.
 */
@inline
function poolMembers(
  source: Source, operation: Operation, membersAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  first: i32, last: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touchBlock: i32,
): void {
  const rowBytes = sourceRowBytes(source, dim)
  const step = operation == Operation.Max ? Step.Max : weightsAt != 0 ? Step.AddWeighted : Step.Add
  const block = touchBlock > 0 ? touchBlock : BLOCK_MEMBERS
  let found = source == Source.Packed ? last : first
  let row = outAt
  for (let bag = 0; bag < bagCount; bag++, row += dim << 2) {
    const begin = load<i32>(offsetsAt + (bag << 2))
    const end = load<i32>(offsetsAt + (bag << 2), 4)
    const stop = min(end, last)
    const from = max(begin, first)
    if (begin == end || (from == begin && step != Step.Max)) clearRow(row, dim)
    let m = from
    while (m < stop) {
      const members = source == Source.Packed ? membersAt + <usize>(m - first) * rowBytes
        : membersAt + (m << 2)
      if (m >= found) {
        const length = findMembers(members, min(block, last - m), firstRow, rowCount)
        if (touchBlock > 0) touchMembers(members, length, firstRow, rowBytes)
        found = m + length
      }
      const now = step == Step.Max && m == begin ? Step.Take : step
      const count = now == Step.Take || m == found ? 1 : min(found, stop) - m
      if (m == found) addPacked(now, fillAt, weightsAt + (m << 2), 1, row, dim)
      else if (source == Source.Packed) addPacked(now, members, weightsAt + (m << 2), count, row, dim)
      else addSteps(source, now, members, weightsAt + (m << 2), count, row, dim, firstRow)
      m += count
    }
    if (from < end && m == end) finishRow(row, dim, computeDivisor(operation, weightsAt, begin, end))
  }
}

/** Pools whole bags of rows of the table. */
@inline
function poolTable(
  source: Source, operation: Operation, idsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touchBlock: i32,
): void {
  const first = load<i32>(offsetsAt)
  const last = load<i32>(offsetsAt + (bagCount << 2))
  poolMembers(
    source, operation, idsAt, weightsAt, offsetsAt, bagCount, first, last, outAt, fillAt, firstRow, rowCount,
    dim, touchBlock,
  )
  // Without a fence, processors that reorder loads could read the lock word before the rows.
  fence()
}

// Each source has a named function, so that the dispatch on it is outside of every loop and only functions in
// use are compiled by the engine.
export function poolFloat32(
  operation: Operation, idsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touchBlock: i32,
): void {
  poolTable(Source.Float32, operation, idsAt, weightsAt, offsetsAt, bagCount, outAt, fillAt, firstRow,
    rowCount, dim, touchBlock)
}

export function poolFloat16(
  operation: Operation, idsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touchBlock: i32,
): void {
  poolTable(Source.Float16, operation, idsAt, weightsAt, offsetsAt, bagCount, outAt, fillAt, firstRow,
    rowCount, dim, touchBlock)
}

export function poolBfloat16(
  operation: Operation, idsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touchBlock: i32,
): void {
  poolTable(Source.Bfloat16, operation, idsAt, weightsAt, offsetsAt, bagCount, outAt, fillAt, firstRow,
    rowCount, dim, touchBlock)
}

export function poolInt8(
  operation: Operation, idsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touchBlock: i32,
): void {
  poolTable(Source.Int8, operation, idsAt, weightsAt, offsetsAt, bagCount, outAt, fillAt, firstRow, rowCount,
    dim, touchBlock)
}

/**
 * Pools float32 rows of the arena, those of members `first`..`last`-1, whose bags may begin before and end
 * after them.
 */
export function poolPacked(
  operation: Operation, rowsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32, first: i32,
  last: i32, outAt: usize, dim: i32,
): void {
  poolMembers(Source.Packed, operation, rowsAt, weightsAt, offsetsAt, bagCount, first, last, outAt, 0, 0, 0,
    dim, 0)
}
