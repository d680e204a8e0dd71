/**
 * Copies rows by id from the table to the arena. Ids outside the segment are skipped, because another segment
 * provides them; negative ids take the fill row. If touchRows is above zero, the cache lines of that many
 * rows are touched before the first of them is copied.
 */
import { fence, tableAtomicLoad, rowAddress, stripeAddress } from './access.as'
import { touchRow } from './copy.as'
import { areInside, baseOf, rowOf, touchInside } from './in-segment.as'
import { Row, storedBytes, outputBytes, writeOutputRow } from './rows.as'

/** The number of times a reader retries a busy row before it gives up the position. */
const SPIN_MAX: i32 = 256

function touchBlock(idsAt: usize, count: i32, firstRow: i32, rowCount: i32, rowBytes: i32): void {
  for (let i = 0; i < count; i++) {
    const local = load<i32>(idsAt + (i << 2)) - firstRow
    if (<u32>local < <u32>rowCount) touchRow(rowAddress(local, rowBytes), rowBytes)
  }
}

@inline
function gatherInside(kind: Row, idsAt: usize, count: i32, outAt: usize, base: u64, size: i32): void {
  const rowBytes = storedBytes(kind, size)
  const outBytes = outputBytes(kind, size)
  const end = idsAt + (count << 2)
  let to = outAt
  let id = idsAt
  if (kind < Row.Raw) {
    for (; id + 16 <= end; id += 16, to += outBytes << 2) {
      writeOutputRow(kind, to, rowOf(id, base, rowBytes), size)
      writeOutputRow(kind, to + outBytes, rowOf(id + 4, base, rowBytes), size)
      writeOutputRow(kind, to + (outBytes << 1), rowOf(id + 8, base, rowBytes), size)
      writeOutputRow(kind, to + 3 * outBytes, rowOf(id + 12, base, rowBytes), size)
    }
  }
  for (; id < end; id += 4, to += outBytes) writeOutputRow(kind, to, rowOf(id, base, rowBytes), size)
}

@inline
function gatherBlock(kind: Row, idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32,
  rowCount: i32, size: i32): void {
  const rowBytes = storedBytes(kind, size)
  const outBytes = outputBytes(kind, size)
  let to = outAt
  for (let i = 0; i < count; i++, to += outBytes) {
    const id = load<i32>(idsAt + (i << 2))
    const local = id - firstRow
    if (<u32>local < <u32>rowCount) writeOutputRow(kind, to, rowAddress(local, rowBytes), size)
    else if (id < 0 && fillAt != 0) memory.copy(to, fillAt, outBytes)
  }
}

@inline
function gatherKind(
  kind: Row, idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, size: i32,
  touchRows: i32,
): void {
  const rowBytes = storedBytes(kind, size)
  const outBytes = outputBytes(kind, size)
  const step = touchRows > 0 ? touchRows : count
  for (let from = 0; from < count; from += step) {
    const length = min(step, count - from)
    const ids = idsAt + (from << 2)
    if (areInside(ids, length, firstRow, rowCount)) {
      const base = baseOf(firstRow, rowBytes)
      if (touchRows > 0) touchInside(ids, length, base, rowBytes)
      gatherInside(kind, ids, length, outAt + from * outBytes, base, size)
      continue
    }
    if (touchRows > 0) touchBlock(ids, length, firstRow, rowCount, rowBytes)
    gatherBlock(kind, ids, length, outAt + from * outBytes, fillAt, firstRow, rowCount, size)
  }
  // Without a fence, processors that reorder loads could read the lock word before the rows.
  fence()
}

/**
 * Returns the sum of the stripe words of a block, or -1 if the writer is writing one of its rows. Words only
 * grow, so equal sums mean equal words.
 */
function stripeSum(idsAt: usize, count: i32, firstRow: i32, rowCount: i32): i64 {
  let sum: u32 = 0
  let busy: u32 = 0
  for (let i = 0; i < count; i++) {
    const local = load<i32>(idsAt + (i << 2)) - firstRow
    if (<u32>local < <u32>rowCount) {
      const word = tableAtomicLoad(stripeAddress(local))
      sum += word
      busy |= word
    }
  }
  return busy & 1 ? -1 : <i64>sum
}

/** Gathers one position and repeats it until no write interrupted it. Returns false if it gave up. */
@inline
function gatherGuarded(kind: Row, idAt: usize, to: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  size: i32): bool {
  for (let spin = 0; spin < SPIN_MAX; spin++) {
    const before = stripeSum(idAt, 1, firstRow, rowCount)
    if (before < 0) continue
    gatherBlock(kind, idAt, 1, to, fillAt, firstRow, rowCount, size)
    fence()
    if (stripeSum(idAt, 1, firstRow, rowCount) == before) return true
  }
  return false
}

/**
 * Gathers positions `start`..`count`-1. Returns the first that is not finished: `count`, or the position of a
 * busy row that it gave up.
 */
@inline
function gatherKindChecked(
  kind: Row, idsAt: usize, start: i32, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  size: i32, blockRows: i32,
): i32 {
  const rowBytes = storedBytes(kind, size)
  const outBytes = outputBytes(kind, size)
  for (let from = start; from < count; from += blockRows) {
    const length = min(blockRows, count - from)
    const ids = idsAt + (from << 2)
    const to = outAt + from * outBytes
    const before = stripeSum(ids, length, firstRow, rowCount)
    if (before >= 0) {
      touchBlock(ids, length, firstRow, rowCount, rowBytes)
      gatherBlock(kind, ids, length, to, fillAt, firstRow, rowCount, size)
      fence()
      if (stripeSum(ids, length, firstRow, rowCount) == before) continue
    }
    for (let i = 0; i < length; i++) {
      if (!gatherGuarded(kind, ids + (i << 2), to + i * outBytes, fillAt, firstRow, rowCount,
        size)) return from + i
    }
  }
  return count
}

// Each kind has a named function, so that the dispatch on the row size is outside of every loop and each loop
// gets its own registers.
function gatherBytes4(idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  touchRows: i32): void {
  gatherKind(Row.Bytes4, idsAt, count, outAt, fillAt, firstRow, rowCount, 4, touchRows)
}

function gatherBytes8(idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  touchRows: i32): void {
  gatherKind(Row.Bytes8, idsAt, count, outAt, fillAt, firstRow, rowCount, 8, touchRows)
}

function gatherBytes16(idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  touchRows: i32): void {
  gatherKind(Row.Bytes16, idsAt, count, outAt, fillAt, firstRow, rowCount, 16, touchRows)
}

function gatherBytes32(idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  touchRows: i32): void {
  gatherKind(Row.Bytes32, idsAt, count, outAt, fillAt, firstRow, rowCount, 32, touchRows)
}

function gatherBytes64(idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  touchRows: i32): void {
  gatherKind(Row.Bytes64, idsAt, count, outAt, fillAt, firstRow, rowCount, 64, touchRows)
}

/** Gathers rows as stored. */
export function gatherRaw(
  idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, rowBytes: i32,
  touchRows: i32,
): void {
  if (rowBytes == 4) gatherBytes4(idsAt, count, outAt, fillAt, firstRow, rowCount, touchRows)
  else if (rowBytes == 8) gatherBytes8(idsAt, count, outAt, fillAt, firstRow, rowCount, touchRows)
  else if (rowBytes == 16) gatherBytes16(idsAt, count, outAt, fillAt, firstRow, rowCount, touchRows)
  else if (rowBytes == 32) gatherBytes32(idsAt, count, outAt, fillAt, firstRow, rowCount, touchRows)
  else if (rowBytes == 64) gatherBytes64(idsAt, count, outAt, fillAt, firstRow, rowCount, touchRows)
  else gatherKind(Row.Raw, idsAt, count, outAt, fillAt, firstRow, rowCount, rowBytes, touchRows)
}

/** Gathers float16 rows as float32. */
export function gatherFloat16(
  idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32,
  touchRows: i32,
): void {
  gatherKind(Row.Float16, idsAt, count, outAt, fillAt, firstRow, rowCount, dim, touchRows)
}

/** Gathers bfloat16 rows as float32. */
export function gatherBfloat16(
  idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32,
  touchRows: i32,
): void {
  gatherKind(Row.Bfloat16, idsAt, count, outAt, fillAt, firstRow, rowCount, dim, touchRows)
}

/** Gathers int8 rows (bytes, scale, bias) as float32. */
export function gatherInt8(
  idsAt: usize, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32,
  touchRows: i32,
): void {
  gatherKind(Row.Int8, idsAt, count, outAt, fillAt, firstRow, rowCount, dim, touchRows)
}

export function gatherRawChecked(
  idsAt: usize, start: i32, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32,
  rowBytes: i32, blockRows: i32,
): i32 {
  return gatherKindChecked(Row.Raw, idsAt, start, count, outAt, fillAt, firstRow, rowCount, rowBytes,
    blockRows)
}

export function gatherFloat16Checked(
  idsAt: usize, start: i32, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32,
  blockRows: i32,
): i32 {
  return gatherKindChecked(Row.Float16, idsAt, start, count, outAt, fillAt, firstRow, rowCount, dim,
    blockRows)
}

export function gatherBfloat16Checked(
  idsAt: usize, start: i32, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32,
  blockRows: i32,
): i32 {
  return gatherKindChecked(Row.Bfloat16, idsAt, start, count, outAt, fillAt, firstRow, rowCount, dim,
    blockRows)
}

export function gatherInt8Checked(
  idsAt: usize, start: i32, count: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32,
  blockRows: i32,
): i32 {
  return gatherKindChecked(Row.Int8, idsAt, start, count, outAt, fillAt, firstRow, rowCount, dim, blockRows)
}
