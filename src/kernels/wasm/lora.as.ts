/**
 * Adds rows of a low-rank adapter to rows in the arena. The table memory holds the second factor: `rank` rows
 * of `dim` float32.
 */
import { tableLoad32, tableLoad128, tableLoad128At16, tableLoad128At32, tableLoad128At48 } from './access.as'

/**
 * Adds scale * (factors . B) to `row`. The products are summed from zero in the order of the factors, and
 * none is fused.
 */
@inline
function addProduct(row: usize, factors: usize, rank: i32, scale: f32, dim: i32): void {
  const lanesOfScale = f32x4.splat(scale)
  const stride = <u64>dim << 2
  const factorsEnd = factors + (<usize>rank << 2)
  let k = 0
  for (; k <= dim - 16; k += 16) {
    let from = <u64>ROWS_AT + (<u64>k << 2)
    let first = f32x4.splat(0)
    let second = f32x4.splat(0)
    let third = f32x4.splat(0)
    let fourth = f32x4.splat(0)
    for (let at = factors; at < factorsEnd; at += 4) {
      const factor = v128.load32_splat(at)
      first = f32x4.add(first, f32x4.mul(factor, tableLoad128(from)))
      second = f32x4.add(second, f32x4.mul(factor, tableLoad128At16(from)))
      third = f32x4.add(third, f32x4.mul(factor, tableLoad128At32(from)))
      fourth = f32x4.add(fourth, f32x4.mul(factor, tableLoad128At48(from)))
      from += stride
    }
    const to = row + (<usize>k << 2)
    v128.store(to, f32x4.add(v128.load(to), f32x4.mul(lanesOfScale, first)))
    v128.store(to, f32x4.add(v128.load(to, 16), f32x4.mul(lanesOfScale, second)), 16)
    v128.store(to, f32x4.add(v128.load(to, 32), f32x4.mul(lanesOfScale, third)), 32)
    v128.store(to, f32x4.add(v128.load(to, 48), f32x4.mul(lanesOfScale, fourth)), 48)
  }
  for (; k <= dim - 4; k += 4) {
    let from = <u64>ROWS_AT + (<u64>k << 2)
    let sum = f32x4.splat(0)
    for (let at = factors; at < factorsEnd; at += 4) {
      sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(at), tableLoad128(from)))
      from += stride
    }
    const to = row + (<usize>k << 2)
    v128.store(to, f32x4.add(v128.load(to), f32x4.mul(lanesOfScale, sum)))
  }
  for (; k < dim; k++) {
    let from = <u64>ROWS_AT + (<u64>k << 2)
    let sum: f32 = 0
    for (let at = factors; at < factorsEnd; at += 4) {
      sum += load<f32>(at) * reinterpret<f32>(tableLoad32(from))
      from += stride
    }
    const to = row + (<usize>k << 2)
    store<f32>(to, load<f32>(to) + scale * sum)
  }
}

/**
 * Adds its product to each row i of `rowsAt`, except where `ids[i]` is negative, which means that it is not a
 * row of the table.
 */
export function addProducts(idsAt: usize, count: i32, factorsAt: usize, rank: i32, scale: f32, rowsAt: usize,
  dim: i32): void {
  const factorBytes = <usize>rank << 2
  const rowBytes = <usize>dim << 2
  for (let i = 0; i < count; i++) {
    if (load<i32>(idsAt + (<usize>i << 2)) < 0) continue
    addProduct(rowsAt + <usize>i * rowBytes, factorsAt + <usize>i * factorBytes, rank, scale, dim)
  }
}
