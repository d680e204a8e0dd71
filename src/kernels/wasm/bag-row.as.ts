/**
 * Adds members of one bag to the row of the bag in the arena. The members are rows of the table, widened in
 * registers, or float32 rows of the arena.
 */
import { rowAddress, tableLoad64, tableLoad128, tableLoad128At16, tableLoad128At32,
  tableLoad128At48 } from './access.as'
import { Source } from './codes.as'
import { widenBfloat16 } from './floats.as'
import { biasOf, loadLanes, scaleOf, sourceRowBytes } from './lanes.as'
import { dequantiseLanes, storeLanes } from './rows.as'

/** How a member changes the row of its bag. Take replaces the row with the member. */
export const enum Step { Add, AddWeighted, Max, Take }

/**
 * Returns the address that row 0 of the table would have, to which ids are relative. It is negative in
 * segments that do not begin with row 0.
 */
@inline
export function rowsBase(source: Source, firstRow: i32, rowBytes: i32): u64 {
  return source == Source.Packed ? 0 : rowAddress(0, rowBytes) - <u64>(<u32>firstRow) * <u64>(<u32>rowBytes)
}

/**
 * Returns the address of member `i` in the table, or (Packed) in the arena. Ids must be rows of this segment.
 */
@inline
export function memberAt(source: Source, members: usize, i: i32, base: u64, rowBytes: i32): u64 {
  if (source == Source.Packed) return <u64>(members + <usize>i * rowBytes) + base
  return <u64>load<u32>(members + (i << 2)) * <u64>(<u32>rowBytes) + base
}

/**
 * Loads four columns of one cache line of a row. The engine keeps a bound for each offset in a register, so
 * more than four offsets cost more than an addition.
 */
@inline
function loadFloats(source: Source, at: u64, column: i32): v128 {
  if (source == Source.Packed) return v128.load(<usize>at + (column << 2))
  if (column == 4) return tableLoad128At16(at)
  if (column == 8) return tableLoad128At32(at)
  if (column == 12) return tableLoad128At48(at)
  return tableLoad128(at)
}

@inline
function weightOf(step: Step, weights: usize, i: i32): v128 {
  return step == Step.AddWeighted ? v128.load32_splat(weights + (i << 2)) : i32x4.splat(0)
}

/**
 * Combines a value with the sum. For Max the later value replaces the earlier if it is greater (strict `>`);
 * it does not if they are equal or either is NaN.
 */
@inline
function join(step: Step, sum: v128, value: v128, weight: v128): v128 {
  if (step == Step.Take) return value
  if (step == Step.Max) return f32x4.pmax(sum, value)
  return f32x4.add(sum, step == Step.AddWeighted ? f32x4.mul(weight, value) : value)
}

/**
 * Adds columns `k`..`k`+31 (or, if not `wide`, ..`k`+15) of float32 rows, and keeps the sums in registers for
 * all members.
 */
@inline
function addFloats(
  source: Source, step: Step, wide: bool, members: usize, weights: usize, count: i32, row: usize, k: i32,
  dim: i32, firstRow: i32,
): void {
  const sums = row + (k << 2)
  const base = rowsBase(source, firstRow, dim << 2) + <u64>(<u32>k << 2)
  const none = i32x4.splat(0)
  let s0 = v128.load(sums)
  let s1 = v128.load(sums, 16)
  let s2 = v128.load(sums, 32)
  let s3 = v128.load(sums, 48)
  let s4 = wide ? v128.load(sums, 64) : none
  let s5 = wide ? v128.load(sums, 80) : none
  let s6 = wide ? v128.load(sums, 96) : none
  let s7 = wide ? v128.load(sums, 112) : none
  let i = 0
  do {
    const at = memberAt(source, members, i, base, dim << 2)
    const weight = weightOf(step, weights, i)
    s0 = join(step, s0, loadFloats(source, at, 0), weight)
    s1 = join(step, s1, loadFloats(source, at, 4), weight)
    s2 = join(step, s2, loadFloats(source, at, 8), weight)
    s3 = join(step, s3, loadFloats(source, at, 12), weight)
    if (wide) {
      s4 = join(step, s4, loadFloats(source, at + 64, 0), weight)
      s5 = join(step, s5, loadFloats(source, at + 64, 4), weight)
      s6 = join(step, s6, loadFloats(source, at + 64, 8), weight)
      s7 = join(step, s7, loadFloats(source, at + 64, 12), weight)
    }
  } while (++i < count)
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

/**
 * Returns a constant that the compilers cannot see through, so that it stays in a register. They would
 * recreate a known constant before each use, which takes longer than the use.
 */
@inline
function hideConstant(constant: i32, dim: i32): v128 {
  return i32x4.splat(constant + (dim >>> 31))
}

/**
 * Converts sign-extended float16 bits to float32 like widenAny in lanes.as.ts, with its constants in
 * registers.
 */
@inline
function widenHalf(half: v128, moved: v128, raise: v128, magnitude: v128, special: v128,
  exponent: v128): v128 {
  const value = f32x4.mul(v128.and(i32x4.shl(half, 13), moved), raise)
  return v128.or(value, v128.and(f32x4.ge(v128.and(value, magnitude), special), exponent))
}

/**
 * Adds eight columns from `k` on of 16-bit or int8 rows: one load of the table is widened to two registers.
 */
@inline
function addEight(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, k: i32, dim: i32,
  firstRow: i32,
): void {
  const rowBytes = sourceRowBytes(source, dim)
  const base = rowsBase(source, firstRow, rowBytes)
  const sums = row + (k << 2)
  const moved = hideConstant(<i32>0x8fffe000, dim)
  const raise = hideConstant(reinterpret<i32>(<f32>5.192296858534828e33), dim)
  const magnitude = hideConstant(0x7fffffff, dim)
  const special = hideConstant(reinterpret<i32>(<f32>65536), dim)
  const exponent = hideConstant(0x7f800000, dim)
  let s0 = v128.load(sums)
  let s1 = v128.load(sums, 16)
  for (let i = 0; i < count; i++) {
    const at = memberAt(source, members, i, base, rowBytes)
    const weight = weightOf(step, weights, i)
    if (source == Source.Int8) {
      const scale = scaleOf(source, at, dim)
      const bias = biasOf(source, at, dim)
      const words = i16x8.extend_low_i8x16_u(i64x2.splat(<i64>tableLoad64(at + <u64>(<u32>k))))
      s0 = join(step, s0, dequantiseLanes(i32x4.extend_low_i16x8_u(words), scale, bias), weight)
      s1 = join(step, s1, dequantiseLanes(i32x4.extend_high_i16x8_u(words), scale, bias), weight)
      continue
    }
    const halves = tableLoad128(at + <u64>(<u32>k << 1))
    if (source == Source.Bfloat16) {
      s0 = join(step, s0, widenBfloat16(i32x4.extend_low_i16x8_u(halves)), weight)
      s1 = join(step, s1, widenBfloat16(i32x4.extend_high_i16x8_u(halves)), weight)
    } else {
      s0 = join(step, s0,
        widenHalf(i32x4.extend_low_i16x8_s(halves), moved, raise, magnitude, special, exponent), weight)
      s1 = join(step, s1,
        widenHalf(i32x4.extend_high_i16x8_s(halves), moved, raise, magnitude, special, exponent), weight)
    }
  }
  v128.store(sums, s0)
  v128.store(sums, s1, 16)
}

/** Loads the first `count` (1..4) lanes and reads nothing after them. */
@inline
export function readLanes(at: usize, count: i32): v128 {
  if (count >= 4) return v128.load(at)
  if (count == 1) return v128.load32_zero(at)
  const pair = v128.load64_zero(at)
  return count == 2 ? pair : v128.load_lane<u32>(at + 8, pair, 2)
}

@inline
export function writeLanes(to: usize, lanes: v128, count: i32): void {
  if (count >= 4) v128.store(to, lanes)
  else storeLanes(to, lanes, count)
}

/** Adds up to four columns from `k` on. The table has spare bytes after its rows; the arena does not. */
@inline
function addFew(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, k: i32, dim: i32,
  firstRow: i32,
): void {
  const rowBytes = sourceRowBytes(source, dim)
  const base = rowsBase(source, firstRow, rowBytes)
  const rest = min(4, dim - k)
  let sum = readLanes(row + (k << 2), rest)
  for (let i = 0; i < count; i++) {
    const at = memberAt(source, members, i, base, rowBytes)
    const value =
      source == Source.Packed
        ? readLanes(<usize>at + (k << 2), rest)
        : loadLanes(source, at, k, scaleOf(source, at, dim), biasOf(source, at, dim))
    sum = join(step, sum, value, weightOf(step, weights, i))
  }
  writeLanes(row + (k << 2), sum, rest)
}

/** Adds members of one bag to its row, for a source and a step that are known at compile time. */
@inline
function addMembers(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32,
): void {
  let k = 0
  if (source == Source.Float32 || source == Source.Packed) {
    for (; k <= dim - 32; k += 32) addFloats(source, step, true, members, weights, count, row, k, dim,
      firstRow)
    if (k <= dim - 16) {
      addFloats(source, step, false, members, weights, count, row, k, dim, firstRow)
      k += 16
    }
  } else {
    for (; k <= dim - 8; k += 8) addEight(source, step, members, weights, count, row, k, dim, firstRow)
  }
  for (; k < dim; k += 4) addFew(source, step, members, weights, count, row, k, dim, firstRow)
}

@inline
export function addSteps(
  source: Source, step: Step, members: usize, weights: usize, count: i32, row: usize, dim: i32, firstRow: i32,
): void {
  if (step == Step.Add) addMembers(source, Step.Add, members, weights, count, row, dim, firstRow)
  else if (step == Step.AddWeighted) addMembers(source, Step.AddWeighted, members, weights, count, row, dim,
    firstRow)
  else if (step == Step.Max) addMembers(source, Step.Max, members, weights, count, row, dim, firstRow)
  else addMembers(source, Step.Take, members, weights, count, row, dim, firstRow)
}

export function addPacked(step: Step, rowsAt: usize, weights: usize, count: i32, row: usize, dim: i32): void {
  addSteps(Source.Packed, step, rowsAt, weights, count, row, dim, 0)
}

