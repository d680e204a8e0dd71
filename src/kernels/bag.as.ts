// Bags of rows -> one row each, in one pass: every row is read once, widened in registers, added to its bag's row in the arena.
// The order is the members' order and every operation rounds to float32, so that a bag has one answer on every machine.
import { fence, tableLoad32, tableLoad64, tableLoad128, rowAddress } from './access.as'
import { touchRow } from './copy.as'
import { widenFloat16, widenBfloat16 } from './floats.as'
import { dequantiseLanes, storeLanes } from './rows.as'

/** Where members lie: rows of the table in its dtype, or float32 rows of the arena, packed in the order of the members. As in bag.ts. */
const enum Source { Float32, Float16, Bfloat16, Int8, Packed }
/** As in bag.ts. */
const enum Operation { Sum, Mean, Sqrtn, Max }
/** What a member does to its bag's row: Take makes it the row. */
const enum Step { Add, AddWeighted, Max, Take }

/** Members that are found, and whose cache lines are asked for, before the first of them is added. */
const BLOCK_MEMBERS: i32 = 32

@inline
function storedBytes(source: Source, dim: i32): i32 {
  if (source == Source.Int8) return dim + 8
  return source == Source.Float16 || source == Source.Bfloat16 ? dim << 1 : dim << 2
}

/** Address of a block's member `i`: of the table, or (Packed) of the arena. Ids are those of rows of this segment. */
@inline
function memberAt(source: Source, members: usize, i: i32, firstRow: i32, rowBytes: i32): u64 {
  if (source == Source.Packed) return <u64>(members + <usize>i * rowBytes)
  return rowAddress(load<i32>(members + (i << 2)) - firstRow, rowBytes)
}

@inline
function scaleAt(source: Source, at: u64, dim: i32): v128 {
  if (source != Source.Int8) return i32x4.splat(0)
  return f64x2.splat(<f64>reinterpret<f32>(tableLoad32(at + <u64>dim)))
}

@inline
function biasAt(source: Source, at: u64, dim: i32): v128 {
  if (source != Source.Int8) return i32x4.splat(0)
  return f64x2.splat(<f64>reinterpret<f32>(tableLoad32(at + <u64>dim + 4)))
}

/** Elements `column`..`column`+3 of a row as float32. At a row's end it reads up to 12 bytes further. */
@inline
function lanesAt(source: Source, at: u64, column: i32, scale: v128, bias: v128): v128 {
  if (source == Source.Packed) return v128.load(<usize>at + (column << 2))
  if (source == Source.Float32) return tableLoad128(at + (<u64>column << 2))
  if (source == Source.Int8) {
    const words = i16x8.extend_low_i8x16_u(i32x4.splat(tableLoad32(at + <u64>column)))
    return dequantiseLanes(i32x4.extend_low_i16x8_u(words), scale, bias)
  }
  const halves = i32x4.extend_low_i16x8_u(i64x2.splat(<i64>tableLoad64(at + (<u64>column << 1))))
  return source == Source.Float16 ? widenFloat16(halves) : widenBfloat16(halves)
}

@inline
function weightAt(step: Step, weights: usize, i: i32): v128 {
  return step == Step.AddWeighted ? v128.load32_splat(weights + (i << 2)) : i32x4.splat(0)
}

/** Max: the later wins by strict `>`; beside NaN the earlier stays. */
@inline
function join(step: Step, sum: v128, value: v128, weight: v128): v128 {
  if (step == Step.Take) return value
  if (step == Step.Max) return f32x4.pmax(sum, value)
  return f32x4.add(sum, step == Step.AddWeighted ? f32x4.mul(weight, value) : value)
}

/** 32 columns from `k` on (narrow: 16), in registers while the block's members go by. */
@inline
function addTile(
  source: Source, step: Step, wide: bool, members: usize, weights: usize, count: i32, row: usize, k: i32, dim: i32, firstRow: i32,
): void {
  const rowBytes = storedBytes(source, dim)
  const sums = row + (k << 2)
  const none = i32x4.splat(0)
  let s0 = v128.load(sums)
  let s1 = v128.load(sums, 16)
  let s2 = v128.load(sums, 32)
  let s3 = v128.load(sums, 48)
  let s4 = wide ? v128.load(sums, 64) : none
  let s5 = wide ? v128.load(sums, 80) : none
  let s6 = wide ? v128.load(sums, 96) : none
  let s7 = wide ? v128.load(sums, 112) : none
  for (let i = 0; i < count; i++) {
    const at = memberAt(source, members, i, firstRow, rowBytes)
    const scale = scaleAt(source, at, dim)
    const bias = biasAt(source, at, dim)
    const weight = weightAt(step, weights, i)
    s0 = join(step, s0, lanesAt(source, at, k, scale, bias), weight)
    s1 = join(step, s1, lanesAt(source, at, k + 4, scale, bias), weight)
    s2 = join(step, s2, lanesAt(source, at, k + 8, scale, bias), weight)
    s3 = join(step, s3, lanesAt(source, at, k + 12, scale, bias), weight)
    if (!wide) continue
    s4 = join(step, s4, lanesAt(source, at, k + 16, scale, bias), weight)
    s5 = join(step, s5, lanesAt(source, at, k + 20, scale, bias), weight)
    s6 = join(step, s6, lanesAt(source, at, k + 24, scale, bias), weight)
    s7 = join(step, s7, lanesAt(source, at, k + 28, scale, bias), weight)
  }
  v128.store(sums, s0)
  v128.store(sums, s1, 16)
  v128.store(sums, s2, 32)
  v128.store(sums, s3, 48)
  if (!wide) return
  v128.store(sums, s4, 64)
  v128.store(sums, s5, 80)
  v128.store(sums, s6, 96)
  v128.store(sums, s7, 112)
}

/** Four columns from `k` on. */
@inline
function addLanes(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, k: i32, dim: i32, firstRow: i32,
): void {
  const rowBytes = storedBytes(source, dim)
  let sum = v128.load(row + (k << 2))
  for (let i = 0; i < count; i++) {
    const at = memberAt(source, members, i, firstRow, rowBytes)
    const value = lanesAt(source, at, k, scaleAt(source, at, dim), biasAt(source, at, dim))
    sum = join(step, sum, value, weightAt(step, weights, i))
  }
  v128.store(row + (k << 2), sum)
}

/** The first `count` (1..3) lanes, and nothing behind them. */
@inline
function loadLanes(at: usize, count: i32): v128 {
  if (count == 1) return v128.load32_zero(at)
  const pair = v128.load64_zero(at)
  return count == 2 ? pair : v128.load_lane<u32>(at + 8, pair, 2)
}

/** The last one to three columns, from `k` on. The table has spare bytes behind its rows, the arena has not. */
@inline
function addTail(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, k: i32, dim: i32, firstRow: i32,
): void {
  const rowBytes = storedBytes(source, dim)
  const sumAt = row + (k << 2)
  let sum = loadLanes(sumAt, dim - k)
  for (let i = 0; i < count; i++) {
    const at = memberAt(source, members, i, firstRow, rowBytes)
    const value =
      source == Source.Packed
        ? loadLanes(<usize>at + (k << 2), dim - k)
        : lanesAt(source, at, k, scaleAt(source, at, dim), biasAt(source, at, dim))
    sum = join(step, sum, value, weightAt(step, weights, i))
  }
  storeLanes(sumAt, sum, dim - k)
}

/** A block of one bag's members onto the bag's row. */
@inline
function addBlock(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32,
): void {
  let k = 0
  for (; k <= dim - 32; k += 32) addTile(source, step, true, members, weights, count, row, k, dim, firstRow)
  if (k <= dim - 16) {
    addTile(source, step, false, members, weights, count, row, k, dim, firstRow)
    k += 16
  }
  for (; k <= dim - 4; k += 4) addLanes(source, step, members, weights, count, row, k, dim, firstRow)
  if (k < dim) addTail(source, step, members, weights, count, row, k, dim, firstRow)
}

@inline
function addSteps(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32,
): void {
  if (step == Step.Add) addBlock(source, Step.Add, members, weights, count, row, dim, firstRow)
  else if (step == Step.AddWeighted) addBlock(source, Step.AddWeighted, members, weights, count, row, dim, firstRow)
  else if (step == Step.Max) addBlock(source, Step.Max, members, weights, count, row, dim, firstRow)
  else addBlock(source, Step.Take, members, weights, count, row, dim, firstRow)
}

// Named functions, one per source: the dispatch is outside of every loop.
function addFloat32(step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32): void {
  addSteps(Source.Float32, step, members, weights, count, row, dim, firstRow)
}

function addFloat16(step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32): void {
  addSteps(Source.Float16, step, members, weights, count, row, dim, firstRow)
}

function addBfloat16(step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32): void {
  addSteps(Source.Bfloat16, step, members, weights, count, row, dim, firstRow)
}

function addInt8(step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32): void {
  addSteps(Source.Int8, step, members, weights, count, row, dim, firstRow)
}

function addPacked(step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32): void {
  addSteps(Source.Packed, step, members, weights, count, row, dim, 0)
}

@inline
function addRun(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32,
): void {
  if (source == Source.Float32) addFloat32(step, members, weights, count, row, dim, firstRow)
  else if (source == Source.Float16) addFloat16(step, members, weights, count, row, dim, firstRow)
  else if (source == Source.Bfloat16) addBfloat16(step, members, weights, count, row, dim, firstRow)
  else if (source == Source.Int8) addInt8(step, members, weights, count, row, dim, firstRow)
  else addPacked(step, members, weights, count, row, dim)
}

/** How many of `count` members are rows of this segment before the first that is none. Large rows are touched on the way. */
function scanMembers(members: usize, count: i32, firstRow: i32, rowCount: i32, rowBytes: i32, touch: bool): i32 {
  for (let i = 0; i < count; i++) {
    const local = load<i32>(members + (i << 2)) - firstRow
    if (<u32>local >= <u32>rowCount) return i
    if (touch) touchRow(rowAddress(local, rowBytes), rowBytes)
  }
  return count
}

function clearRow(row: usize, dim: i32): void {
  let k = 0
  for (; k <= dim - 4; k += 4) v128.store(row + (k << 2), i32x4.splat(0))
  for (; k < dim; k++) store<u32>(row + (k << 2), 0)
}

/** What a bag is divided by: its count, the sum of its weights, or the root of the sum of their squares, summed as the rows are. */
function denominator(operation: Operation, weights: usize, begin: i32, end: i32): f32 {
  if (operation == Operation.Mean && weights == 0) return <f32>(end - begin)
  if (operation == Operation.Sqrtn && weights == 0) return sqrt<f32>(<f32>(end - begin))
  let sum: f32 = 0
  for (let m = begin; m < end; m++) {
    const weight = load<f32>(weights + (m << 2))
    sum += operation == Operation.Mean ? weight : weight * weight
  }
  return operation == Operation.Mean ? sum : sqrt<f32>(sum)
}

/** Any NaN becomes 7FC00000: which one an addition gives is the processor's choice. */
@inline
function settleNan(lanes: v128): v128 {
  return v128.bitselect(lanes, i32x4.splat(0x7fc00000), f32x4.eq(lanes, lanes))
}

/** One division by the bag's denominator; zeros when that is zero. */
function finishBag(operation: Operation, weights: usize, begin: i32, end: i32, row: usize, dim: i32): void {
  const divides = operation == Operation.Mean || operation == Operation.Sqrtn
  const divisor: f32 = divides ? denominator(operation, weights, begin, end) : 1
  if (divisor == 0) {
    clearRow(row, dim)
    return
  }
  const divisors = f32x4.splat(divisor)
  let k = 0
  for (; k <= dim - 4; k += 4) v128.store(row + (k << 2), settleNan(f32x4.div(v128.load(row + (k << 2)), divisors)))
  if (k < dim) storeLanes(row + (k << 2), settleNan(f32x4.div(loadLanes(row + (k << 2), dim - k), divisors)), dim - k)
}

/**
 * Members `first`..`last`-1 of `bagCount` bags onto the bags' rows. Bag b has the members offsets[b]..offsets[b+1]-1; it is begun when
 * its first member is among them and divided when its last one is, so that a bag may be pooled in parts.
 * A member that is no row of the segment takes the float32 row at `fillAt`.
 */
function poolMembers(
  source: Source, operation: Operation, idsAt: usize, packedAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  first: i32, last: i32, outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touch: bool,
): void {
  const rowBytes = storedBytes(source, dim)
  const step = operation == Operation.Max ? Step.Max : weightsAt != 0 ? Step.AddWeighted : Step.Add
  const packed = source == Source.Packed
  let found = packed ? last : first
  let row = outAt
  for (let bag = 0; bag < bagCount; bag++, row += dim << 2) {
    const begin = load<i32>(offsetsAt + (bag << 2))
    const end = load<i32>(offsetsAt + (bag << 2), 4)
    let m = max(begin, first)
    const stop = min(end, last)
    if (m == begin && (step != Step.Max || begin == end)) clearRow(row, dim)
    while (m < stop) {
      if (m >= found) found = m + scanMembers(idsAt + (m << 2), min(BLOCK_MEMBERS, last - m), firstRow, rowCount, rowBytes, touch)
      const take = step == Step.Max && m == begin
      const now = take ? Step.Take : step
      const count = take || m == found ? 1 : min(found, stop) - m
      const weights = weightsAt + (m << 2)
      if (m == found) addPacked(now, fillAt, weights, count, row, dim)
      else if (packed) addPacked(now, packedAt + <usize>(m - first) * rowBytes, weights, count, row, dim)
      else addRun(source, now, idsAt + (m << 2), weights, count, row, dim, firstRow)
      m += count
    }
    if (begin < end && stop == end && m == end) finishBag(operation, weightsAt, begin, end, row, dim)
  }
}

/** Whole bags of rows of the table. */
export function pool(
  source: Source, operation: Operation, idsAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32,
  outAt: usize, fillAt: usize, firstRow: i32, rowCount: i32, dim: i32, touch: bool,
): void {
  const first = load<i32>(offsetsAt)
  const last = load<i32>(offsetsAt + (bagCount << 2))
  poolMembers(source, operation, idsAt, 0, weightsAt, offsetsAt, bagCount, first, last, outAt, fillAt, firstRow, rowCount, dim, touch)
  // the caller's next read of the lock word must not overtake the rows on machines that reorder loads
  fence()
}

/** The same of float32 rows in the arena, which begin with that of member `first`. */
export function poolPacked(
  operation: Operation, packedAt: usize, weightsAt: usize, offsetsAt: usize, bagCount: i32, first: i32, last: i32, outAt: usize, dim: i32,
): void {
  poolMembers(Source.Packed, operation, 0, packedAt, weightsAt, offsetsAt, bagCount, first, last, outAt, 0, 0, 0, dim, false)
}
