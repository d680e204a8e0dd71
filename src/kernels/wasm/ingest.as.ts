/**
 * Converts uploaded values in the arena to stored rows in the table before the version is published. No
 * reader can see these rows yet, so no stripe word guards them.
 */
import { tableStore8, tableStore32, rowAddress } from './access.as'
import { Element } from './codes.as'
import { convertAny, firstNonFinite } from './elements.as'

/**
 * Converts `count` elements into rows, from `rowsOffset` bytes after the start of the rows on. Returns the
 * index of the first that is stored as infinity or NaN, or -1.
 */
export function ingest(source: Element, target: Element, sourceAt: usize, count: i32, rowsOffset: f64): i32 {
  return convertAny(true, source, target, sourceAt, count, <u64>ROWS_AT + <u64>rowsOffset)
}

/** Returns the smallest lane. The result is NaN if any lane is NaN. */
@inline
function lowest(lanes: v128): f32 {
  const pairs = f32x4.min(lanes, v128.shuffle<i32>(lanes, lanes, 2, 3, 0, 1))
  return min(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1))
}

/** Returns the largest lane. The result is NaN if any lane is NaN. */
@inline
function highest(lanes: v128): f32 {
  const pairs = f32x4.max(lanes, v128.shuffle<i32>(lanes, lanes, 2, 3, 0, 1))
  return max(f32x4.extract_lane(pairs, 0), f32x4.extract_lane(pairs, 1))
}

function quantiseRow(from: usize, dim: i32, to: u64): bool {
  let minima = v128.load32_splat(from)
  let maxima = minima
  let k = 0
  for (; k <= dim - 4; k += 4) {
    const lanes = v128.load(from + (k << 2))
    minima = f32x4.min(minima, lanes)
    maxima = f32x4.max(maxima, lanes)
  }
  for (; k < dim; k++) {
    const lanes = v128.load32_splat(from + (k << 2))
    minima = f32x4.min(minima, lanes)
    maxima = f32x4.max(maxima, lanes)
  }
  const bias = lowest(minima)
  const range = highest(maxima) - bias
  const usable = isFinite(range)
  const inverse: f32 = usable ? <f32>255 / (range + <f32>1e-8) : 0
  for (k = 0; k < dim; k++) {
    const scaled = nearest((load<f32>(from + (k << 2)) - bias) * inverse)
    tableStore8(to + <u64>k, usable ? <u32>scaled : 0)
  }
  tableStore32(to + <u64>dim, usable ? reinterpret<u32>(range / 255) : 0x7fc00000)
  tableStore32(to + <u64>dim + 4, usable ? reinterpret<u32>(bias) : 0x7fc00000)
  return usable
}

/**
 * Quantises float32 rows to int8 rows (FBGEMM's 8-bit SBFloat): scale = range / 255, byte = rint((x - min) *
 * (255 / (range + 1e-8))), bias = min. A row that contains NaN or infinity, or whose range overflows, is
 * stored as bytes 0 with scale NaN and bias NaN, so that it reads as NaN. Returns the index of the first
 * element that is not finite (of a row whose range overflows, its first element), or -1.
 */
export function quantise(sourceAt: usize, count: i32, dim: i32, firstLocal: i32): i32 {
  if (dim == 0) return -1
  let first = -1
  for (let i = 0; i < count; i++) {
    const from = sourceAt + <usize>i * (dim << 2)
    const usable = quantiseRow(from, dim, rowAddress(firstLocal + i, dim + 8))
    if (!usable && first < 0) first = i * dim + max(0, firstNonFinite(from, dim))
  }
  return first
}
