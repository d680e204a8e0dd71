/**
 * Scores rows again whose float32 sums overflowed, or are so small that their squares lost bits to underflow.
 * The terms go into the same four lanes, in float64, which holds the square of every float32. Such rows are
 * rare, so source and metric are no compile-time constants here.
 */
import { Metric, SAFE_LENGTH_MIN, Source } from './codes.as'
import { biasOf, loadLanes, loadTail, scaleOf, sourceRowBytes } from './lanes.as'

/**
 * Returns a bit for each number that float64 may give otherwise: for Dot products that are not finite, for
 * L2 distances and for Cosine lengths of rows that are infinite or below SAFE_LENGTH_MIN.
 */
@inline
export function findUnsafe(metric: Metric, numbers: v128): i32 {
  if (metric == Metric.Dot) return i32x4.bitmask(f32x4.ne(f32x4.sub(numbers, numbers), i32x4.splat(0)))
  return i32x4.bitmask(v128.or(f32x4.lt(numbers, f32x4.splat(SAFE_LENGTH_MIN)),
    f32x4.eq(numbers, f32x4.splat(Infinity))))
}

/** The terms that are summed: products, squares of differences, squares of the row. */
const enum Term { Product, Difference, Square }

@inline
function addTerms(term: Term, sums: v128, row: v128, query: v128): v128 {
  if (term == Term.Product) return f64x2.add(sums, f64x2.mul(row, query))
  const side = term == Term.Difference ? f64x2.sub(row, query) : row
  return f64x2.add(sums, f64x2.mul(side, side))
}

@inline
function lowHalf(lanes: v128): v128 {
  return f64x2.promote_low_f32x4(lanes)
}

@inline
function highHalf(lanes: v128): v128 {
  return f64x2.promote_low_f32x4(v128.shuffle<i32>(lanes, lanes, 2, 3, 2, 3))
}

function sumTerms(source: Source, term: Term, row: u64, query: usize, dim: i32): f64 {
  const scale = scaleOf(source, row, dim)
  const bias = biasOf(source, row, dim)
  const rest = dim & 3
  let low = i32x4.splat(0)
  let high = i32x4.splat(0)
  if (rest != 0) {
    const a = loadTail(source, row, dim, rest, scale, bias)
    const b = v128.load(query + ((dim - rest) << 2))
    low = addTerms(term, low, lowHalf(a), lowHalf(b))
    high = addTerms(term, high, highHalf(a), highHalf(b))
  }
  for (let k = 0; k <= dim - 4; k += 4) {
    const a = loadLanes(source, row, k, scale, bias)
    const b = v128.load(query + (k << 2))
    low = addTerms(term, low, lowHalf(a), lowHalf(b))
    high = addTerms(term, high, highHalf(a), highHalf(b))
  }
  const sums = f64x2.add(low, high)
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1)
}

@inline
function isUnsafe(metric: Metric, score: f32): bool {
  return metric == Metric.Dot ? score - score != 0 : score < SAFE_LENGTH_MIN || score == Infinity
}

/** Stores a score as finishScores in attend.as.ts makes it: without minus zero, and with a single NaN. */
@inline
function storeScore(to: usize, score: f64): void {
  const rounded = <f32>score + 0
  if (rounded == rounded) store<f32>(to, rounded)
  else store<u32>(to, 0x7fc00000)
}

function rescoreRow(source: Source, metric: Metric, row: u64, queriesAt: usize, queryCount: i32, dim: i32,
  outAt: usize, stride: i32): void {
  const isCosine = metric == Metric.Cosine
  const length = isCosine ? sqrt<f64>(sumTerms(source, Term.Square, row, queriesAt, dim)) : 1
  // The scores of a row of zeros are zeros already.
  if (length == 0) return
  const term = metric == Metric.L2 ? Term.Difference : Term.Product
  for (let q = 0; q < queryCount; q++) {
    const to = outAt + (<usize>q * <usize>stride << 2)
    if (!isCosine && !isUnsafe(metric, load<f32>(to))) continue
    const query = queriesAt + <usize>q * (<usize>((dim + 3) >> 2) << 4)
    const sum = sumTerms(source, term, row, query, dim)
    if (isCosine) storeScore(to, min<f64>(max<f64>(sum / length, -1), 1))
    else storeScore(to, metric == Metric.L2 ? sqrt<f64>(sum) : sum)
  }
}

/**
 * Scores those of `rowCount` rows from `rowsAt` on whose bit is set in `unsafe`. The score of query q and row
 * i is at index q * stride + i of `outAt`.
 */
export function rescoreRows(
  source: Source, metric: Metric, unsafe: i32, rowsAt: u64, rowCount: i32, queriesAt: usize, queryCount: i32,
  dim: i32, outAt: usize, stride: i32,
): void {
  const rowBytes = <u64>(<u32>sourceRowBytes(source, dim))
  for (let i = 0; i < rowCount; i++) {
    if ((unsafe >> i) & 1) rescoreRow(source, metric, rowsAt + <u64>i * rowBytes, queriesAt, queryCount, dim,
      outAt + (i << 2), stride)
  }
}
