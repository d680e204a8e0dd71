/**
 * Scores queries against a run of rows. For each query and row, lane j of four adds up the terms of the
 * columns j, j+4, j+8, .. in ascending order, except that the last `dim` mod 4 columns come before all
 * others; the sum is (lane 0 + lane 2) + (lane 1 + lane 3). Sums start from zero, every operation rounds to
 * float32, and none is fused. Four rows and two queries are in registers together, and all queries are scored
 * against a tile of rows before the next tile is read. Sums that float32 does not hold are taken again by
 * wide-score.as.ts.
 */
import { fence, rowAddress } from './access.as'
import { Metric, Source } from './codes.as'
import { biasOf, loadLanes, loadTail, scaleOf, sourceRowBytes } from './lanes.as'
import { storeLanes } from './rows.as'
import { findUnsafe, rescoreRows } from './wide-score.as'

@inline
function addTerm(metric: Metric, sum: v128, row: v128, query: v128): v128 {
  if (metric != Metric.L2) return f32x4.add(sum, f32x4.mul(row, query))
  const difference = f32x4.sub(row, query)
  return f32x4.add(sum, f32x4.mul(difference, difference))
}

/** Sums the lanes of four rows and returns each sum in the lane of its row. */
@inline
function sumLanes(first: v128, second: v128, third: v128, fourth: v128): v128 {
  const left = f32x4.add(v128.shuffle<i32>(first, second, 0, 4, 1, 5),
    v128.shuffle<i32>(first, second, 2, 6, 3, 7))
  const right = f32x4.add(v128.shuffle<i32>(third, fourth, 0, 4, 1, 5),
    v128.shuffle<i32>(third, fourth, 2, 6, 3, 7))
  return f32x4.add(v128.shuffle<i32>(left, right, 0, 1, 4, 5), v128.shuffle<i32>(left, right, 2, 3, 6, 7))
}

/** Sums the squares of a row in four lanes. */
@inline
function squareLanes(source: Source, row: u64, dim: i32): v128 {
  const scale = scaleOf(source, row, dim)
  const bias = biasOf(source, row, dim)
  const rest = dim & 3
  let sum = i32x4.splat(0)
  if (rest != 0) {
    const tail = loadTail(source, row, dim, rest, scale, bias)
    sum = f32x4.add(sum, f32x4.mul(tail, tail))
  }
  for (let k = 0; k <= dim - 4; k += 4) {
    const lanes = loadLanes(source, row, k, scale, bias)
    sum = f32x4.add(sum, f32x4.mul(lanes, lanes))
  }
  return sum
}

/** Returns the lengths of four rows. */
@inline
function measureRows(source: Source, r0: u64, r1: u64, r2: u64, r3: u64, dim: i32): v128 {
  const first = squareLanes(source, r0, dim)
  const second = squareLanes(source, r1, dim)
  const third = squareLanes(source, r2, dim)
  return f32x4.sqrt(sumLanes(first, second, third, squareLanes(source, r3, dim)))
}

/**
 * Turns sums into scores without minus zero and with a single NaN, because the bits of a NaN depend on the
 * processor.
 */
@inline
function finishScores(metric: Metric, sums: v128, lengths: v128): v128 {
  let scores = sums
  if (metric == Metric.L2) scores = f32x4.sqrt(sums)
  if (metric == Metric.Cosine) {
    const none = i32x4.splat(0)
    const quotients = v128.andnot(f32x4.div(sums, lengths), f32x4.eq(lengths, none))
    // Roundings take the cosine of equal directions beyond 1, where acos is NaN. pmin and pmax keep a NaN in
    // their first operand, and are one instruction where min and max are eight.
    scores = f32x4.pmax(f32x4.pmin(f32x4.add(quotients, none), f32x4.splat(1)), f32x4.splat(-1))
  }
  return v128.bitselect(scores, i32x4.splat(0x7fc00000), f32x4.eq(scores, scores))
}

/** Stores the first `rowCount` scores. Returns a bit for each that is to be taken again. */
@inline
function storeScores(metric: Metric, to: usize, scores: v128, rowCount: i32): i32 {
  if (rowCount >= 4) v128.store(to, scores)
  else storeLanes(to, scores, rowCount)
  return metric == Metric.Cosine ? 0 : findUnsafe(metric, scores)
}

/**
 * Scores four rows against one query, or (pair) against two consecutive queries. Stores the first `rowCount`
 * scores. Returns a bit for each row that has a score to be taken again.
 */
@inline
function scoreTile(
  source: Source, metric: Metric, pair: bool, r0: u64, r1: u64, r2: u64, r3: u64, lengths: v128,
  query: usize, dim: i32, to: usize, stride: i32, rowCount: i32,
): i32 {
  const next = query + (<usize>((dim + 3) >> 2) << 4)
  const scale0 = scaleOf(source, r0, dim)
  const scale1 = scaleOf(source, r1, dim)
  const scale2 = scaleOf(source, r2, dim)
  const scale3 = scaleOf(source, r3, dim)
  const bias0 = biasOf(source, r0, dim)
  const bias1 = biasOf(source, r1, dim)
  const bias2 = biasOf(source, r2, dim)
  const bias3 = biasOf(source, r3, dim)
  const none = i32x4.splat(0)
  let a0 = none
  let a1 = none
  let a2 = none
  let a3 = none
  let b0 = none
  let b1 = none
  let b2 = none
  let b3 = none
  const rest = dim & 3
  if (rest != 0) {
    const a = v128.load(query + ((dim - rest) << 2))
    const b = pair ? v128.load(next + ((dim - rest) << 2)) : none
    const first = loadTail(source, r0, dim, rest, scale0, bias0)
    const second = loadTail(source, r1, dim, rest, scale1, bias1)
    const third = loadTail(source, r2, dim, rest, scale2, bias2)
    const fourth = loadTail(source, r3, dim, rest, scale3, bias3)
    a0 = addTerm(metric, none, first, a)
    a1 = addTerm(metric, none, second, a)
    a2 = addTerm(metric, none, third, a)
    a3 = addTerm(metric, none, fourth, a)
    b0 = pair ? addTerm(metric, none, first, b) : none
    b1 = pair ? addTerm(metric, none, second, b) : none
    b2 = pair ? addTerm(metric, none, third, b) : none
    b3 = pair ? addTerm(metric, none, fourth, b) : none
  }
  for (let k = 0; k <= dim - 4; k += 4) {
    const a = v128.load(query + (k << 2))
    const b = pair ? v128.load(next + (k << 2)) : none
    const first = loadLanes(source, r0, k, scale0, bias0)
    a0 = addTerm(metric, a0, first, a)
    b0 = pair ? addTerm(metric, b0, first, b) : none
    const second = loadLanes(source, r1, k, scale1, bias1)
    a1 = addTerm(metric, a1, second, a)
    b1 = pair ? addTerm(metric, b1, second, b) : none
    const third = loadLanes(source, r2, k, scale2, bias2)
    a2 = addTerm(metric, a2, third, a)
    b2 = pair ? addTerm(metric, b2, third, b) : none
    const fourth = loadLanes(source, r3, k, scale3, bias3)
    a3 = addTerm(metric, a3, fourth, a)
    b3 = pair ? addTerm(metric, b3, fourth, b) : none
  }
  const unsafe = storeScores(metric, to, finishScores(metric, sumLanes(a0, a1, a2, a3), lengths), rowCount)
  if (!pair) return unsafe
  return unsafe | storeScores(metric, to + (<usize>stride << 2),
    finishScores(metric, sumLanes(b0, b1, b2, b3), lengths), rowCount)
}

@inline
function scoreRows(
  source: Source, metric: Metric, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32,
): void {
  const rowBytes = <u64>(<u32>sourceRowBytes(source, dim))
  const queryBytes = <usize>((dim + 3) >> 2) << 4
  for (let i = 0; i < rowCount; i += 4) {
    const rest = rowCount - i
    // In a last tile of fewer rows, the last row is used in place of the missing ones.
    const r0 = rowsAt + <u64>i * rowBytes
    const r1 = rest > 1 ? r0 + rowBytes : r0
    const r2 = rest > 2 ? r1 + rowBytes : r1
    const r3 = rest > 3 ? r2 + rowBytes : r2
    const lengths = metric == Metric.Cosine ? measureRows(source, r0, r1, r2, r3, dim) : i32x4.splat(0)
    let unsafe = metric == Metric.Cosine ? findUnsafe(metric, lengths) : 0
    let query = queriesAt
    let to = outAt + (i << 2)
    let q = 0
    for (; q <= queryCount - 2; q += 2) {
      unsafe |= scoreTile(source, metric, true, r0, r1, r2, r3, lengths, query, dim, to, stride, rest)
      query += queryBytes << 1
      to += <usize>stride << 3
    }
    if (q < queryCount) unsafe |= scoreTile(source, metric, false, r0, r1, r2, r3, lengths, query, dim, to,
      stride, rest)
    if (unsafe != 0) rescoreRows(source, metric, unsafe, r0, min(rest, 4), queriesAt, queryCount, dim,
      outAt + (i << 2), stride)
  }
}

@inline
function scoreSource(
  source: Source, metric: Metric, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32,
): void {
  if (metric == Metric.Dot) scoreRows(source, Metric.Dot, rowsAt, rowCount, queriesAt, queryCount, dim, outAt,
    stride)
  else if (metric == Metric.Cosine) scoreRows(source, Metric.Cosine, rowsAt, rowCount, queriesAt, queryCount,
    dim, outAt, stride)
  else scoreRows(source, Metric.L2, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
}

// Each source has a function of its own, so that the dispatch on it is outside of every loop.
function scoreFloat32(metric: Metric, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32): void {
  scoreSource(Source.Float32, metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
}

function scoreFloat16(metric: Metric, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32): void {
  scoreSource(Source.Float16, metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
}

function scoreBfloat16(metric: Metric, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32,
  dim: i32, outAt: usize, stride: i32): void {
  scoreSource(Source.Bfloat16, metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
}

function scoreInt8(metric: Metric, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32): void {
  scoreSource(Source.Int8, metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
}

/**
 * Scores rows of the table from row `local` of the segment on, and stores the score of query q and row i at
 * index q * stride + i.
 */
export function score(
  source: Source, metric: Metric, local: i32, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32,
): void {
  const rowsAt = rowAddress(local, sourceRowBytes(source, dim))
  if (source == Source.Float32) scoreFloat32(metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt,
    stride)
  else if (source == Source.Float16) scoreFloat16(metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt,
    stride)
  else if (source == Source.Bfloat16) scoreBfloat16(metric, rowsAt, rowCount, queriesAt, queryCount, dim,
    outAt, stride)
  else scoreInt8(metric, rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
  // Without a fence, processors that reorder loads could read the lock word before the rows.
  fence()
}

/** Scores float32 rows that are packed in the arena. */
export function scorePacked(
  metric: Metric, rowsAt: usize, rowCount: i32, queriesAt: usize, queryCount: i32, dim: i32, outAt: usize,
  stride: i32,
): void {
  scoreSource(Source.Packed, metric, <u64>rowsAt, rowCount, queriesAt, queryCount, dim, outAt, stride)
}
