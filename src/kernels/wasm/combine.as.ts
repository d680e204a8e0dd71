/**
 * Merges the rows of an update that address the same row of the table, from the update source into the arena.
 * coalesce.as.ts has listed which rows these are.
 */
import { updateSourceLoad32, updateSourceLoad128, updateSourceLoad128At16, updateSourceLoad128At32,
  updateSourceLoad128At48 } from './access.as'

@inline
function read(at: usize, place: i32): i32 {
  return load<i32>(at + (<usize>place << 2))
}

@inline
function updateSourceLoadFloat(at: usize): f32 {
  return reinterpret<f32>(updateSourceLoad32(at))
}

/**
 * Sums the rows of one list in order, on top of the row at `target` if it `isAdded`. The sums of 16, 4 or 1
 * columns stay in registers.
 */
@inline
function combineRow(isAdded: bool, target: usize, first: i32, nextsAt: usize, valuesAt: usize,
  rowBytes: i32): void {
  let at = 0
  for (; at <= rowBytes - 64; at += 64) {
    const columns = valuesAt + at
    let from = columns + first * rowBytes
    let sum0 = updateSourceLoad128(from)
    let sum1 = updateSourceLoad128At16(from)
    let sum2 = updateSourceLoad128At32(from)
    let sum3 = updateSourceLoad128At48(from)
    if (isAdded) {
      sum0 = f32x4.add(v128.load(target + at), sum0)
      sum1 = f32x4.add(v128.load(target + at, 16), sum1)
      sum2 = f32x4.add(v128.load(target + at, 32), sum2)
      sum3 = f32x4.add(v128.load(target + at, 48), sum3)
    }
    for (let i = read(nextsAt, first); i >= 0; i = read(nextsAt, i)) {
      from = columns + i * rowBytes
      sum0 = f32x4.add(sum0, updateSourceLoad128(from))
      sum1 = f32x4.add(sum1, updateSourceLoad128At16(from))
      sum2 = f32x4.add(sum2, updateSourceLoad128At32(from))
      sum3 = f32x4.add(sum3, updateSourceLoad128At48(from))
    }
    v128.store(target + at, sum0)
    v128.store(target + at, sum1, 16)
    v128.store(target + at, sum2, 32)
    v128.store(target + at, sum3, 48)
  }
  for (; at <= rowBytes - 16; at += 16) {
    const columns = valuesAt + at
    let sum = updateSourceLoad128(columns + first * rowBytes)
    if (isAdded) sum = f32x4.add(v128.load(target + at), sum)
    for (let i = read(nextsAt, first); i >= 0; i = read(nextsAt, i)) {
      sum = f32x4.add(sum, updateSourceLoad128(columns + i * rowBytes))
    }
    v128.store(target + at, sum)
  }
  for (; at < rowBytes; at += 4) {
    const columns = valuesAt + at
    if (!isAdded && read(nextsAt, first) < 0) {
      store<u32>(target + at, updateSourceLoad32(columns + first * rowBytes))
      continue
    }
    let sum = updateSourceLoadFloat(columns + first * rowBytes)
    if (isAdded) sum = load<f32>(target + at) + sum
    for (let i = read(nextsAt, first); i >= 0; i = read(nextsAt, i)) {
      sum += updateSourceLoadFloat(columns + i * rowBytes)
    }
    store<f32>(target + at, sum)
  }
}

/** Sets row s of the packed rows at `targetAt` to the sum of the rows of list s, in order. */
export function sumRows(firstsAt: usize, nextsAt: usize, slotCount: i32, valuesAt: usize, targetAt: usize,
  dim: i32): void {
  const rowBytes = dim << 2
  for (let slot = 0; slot < slotCount; slot++, targetAt += rowBytes) {
    combineRow(false, targetAt, read(firstsAt, slot), nextsAt, valuesAt, rowBytes)
  }
}

/** Adds the rows of list s, in order, to row s of the packed rows at `targetAt`. */
export function addRows(firstsAt: usize, nextsAt: usize, slotCount: i32, valuesAt: usize, targetAt: usize,
  dim: i32): void {
  const rowBytes = dim << 2
  for (let slot = 0; slot < slotCount; slot++, targetAt += rowBytes) {
    combineRow(true, targetAt, read(firstsAt, slot), nextsAt, valuesAt, rowBytes)
  }
}

/** Sets row s of the packed rows at `targetAt` to the row at position `places[s]`. */
export function copyRows(placesAt: usize, slotCount: i32, valuesAt: usize, targetAt: usize, dim: i32): void {
  const rowBytes = dim << 2
  for (let slot = 0; slot < slotCount; slot++, targetAt += rowBytes) {
    const from = valuesAt + read(placesAt, slot) * rowBytes
    let at = 0
    for (; at <= rowBytes - 16; at += 16) v128.store(targetAt + at, updateSourceLoad128(from + at))
    for (; at < rowBytes; at += 4) store<u32>(targetAt + at, updateSourceLoad32(from + at))
  }
}

/** Returns the index of the first float32 that is infinite or NaN, or -1. */
export function findNonFinite(valuesAt: usize, count: i32): i32 {
  const exponent = i32x4.splat(0x7f800000)
  let i = 0
  for (; i <= count - 4; i += 4) {
    const bad = i32x4.eq(v128.and(updateSourceLoad128(valuesAt + (<usize>i << 2)), exponent), exponent)
    if (v128.any_true(bad)) return i + ctz(i32x4.bitmask(bad))
  }
  for (; i < count; i++) {
    if ((updateSourceLoad32(valuesAt + (<usize>i << 2)) & 0x7f800000) == 0x7f800000) return i
  }
  return -1
}
