/**
 * Copies rows between table and arena. A copy writes exactly `bytes` bytes and reads only within the row. A
 * tail of fewer than 16 bytes is copied by one more load and store that overlap the bytes before it.
 */
import {
  tableLoad8, tableLoad16, tableLoad32, tableLoad64, tableLoad128, tableLoad128At16, tableLoad128At32,
  tableLoad128At48,
  tableStore8, tableStore16, tableStore32, tableStore64, tableStore128,
  tableStore128At16, tableStore128At32, tableStore128At48,
} from './access.as'

@inline
function copyOut16(to: usize, from: u64): void {
  v128.store(to, tableLoad128(from))
}

@inline
function copyIn16(to: u64, from: usize): void {
  tableStore128(to, v128.load(from))
}

@inline
function copyOutShort(to: usize, from: u64, bytes: i32): void {
  if (bytes >= 8) {
    const last = bytes - 8
    const head = tableLoad64(from)
    const tail = tableLoad64(from + <u64>last)
    store<u64>(to, head)
    store<u64>(to + last, tail)
  } else if (bytes >= 4) {
    const last = bytes - 4
    const head = tableLoad32(from)
    const tail = tableLoad32(from + <u64>last)
    store<u32>(to, head)
    store<u32>(to + last, tail)
  } else {
    if (bytes & 2) store<u16>(to, <u16>tableLoad16(from))
    if (bytes & 1) store<u8>(to + bytes - 1, <u8>tableLoad8(from + <u64>(bytes - 1)))
  }
}

@inline
function copyInShort(to: u64, from: usize, bytes: i32): void {
  if (bytes >= 8) {
    const last = bytes - 8
    tableStore64(to, load<u64>(from))
    tableStore64(to + <u64>last, load<u64>(from + last))
  } else if (bytes >= 4) {
    const last = bytes - 4
    tableStore32(to, load<u32>(from))
    tableStore32(to + <u64>last, load<u32>(from + last))
  } else {
    if (bytes & 2) tableStore16(to, load<u16>(from))
    if (bytes & 1) tableStore8(to + <u64>(bytes - 1), load<u8>(from + bytes - 1))
  }
}

/** Copies a row of any size out of the table. */
@inline
export function copyOut(to: usize, from: u64, bytes: i32): void {
  if (bytes < 16) {
    copyOutShort(to, from, bytes)
    return
  }
  let k = 0
  for (; k <= bytes - 64; k += 64) {
    const at = from + <u64>k
    const first = tableLoad128(at)
    const second = tableLoad128At16(at)
    const third = tableLoad128At32(at)
    const fourth = tableLoad128At48(at)
    v128.store(to + k, first)
    v128.store(to + k, second, 16)
    v128.store(to + k, third, 32)
    v128.store(to + k, fourth, 48)
  }
  for (; k <= bytes - 16; k += 16) copyOut16(to + k, from + <u64>k)
  if (k < bytes) copyOut16(to + bytes - 16, from + <u64>(bytes - 16))
}

/** Copies a row of any size into the table. */
@inline
export function copyIn(to: u64, from: usize, bytes: i32): void {
  if (bytes < 16) {
    copyInShort(to, from, bytes)
    return
  }
  let k = 0
  for (; k <= bytes - 64; k += 64) {
    const at = to + <u64>k
    tableStore128(at, v128.load(from + k))
    tableStore128At16(at, v128.load(from + k, 16))
    tableStore128At32(at, v128.load(from + k, 32))
    tableStore128At48(at, v128.load(from + k, 48))
  }
  for (; k <= bytes - 16; k += 16) copyIn16(to + <u64>k, from + k)
  if (k < bytes) copyIn16(to + <u64>(bytes - 16), from + bytes - 16)
}

/**
 * Touches a row: loads one byte of each of its cache lines, so that the cache misses of many rows overlap.
 */
@inline
export function touchRow(from: u64, bytes: i32): void {
  let k = 0
  for (; k <= bytes - 256; k += 256) {
    tableLoad8(from + <u64>k)
    tableLoad8(from + <u64>k + 64)
    tableLoad8(from + <u64>k + 128)
    tableLoad8(from + <u64>k + 192)
  }
  for (; k < bytes; k += 64) tableLoad8(from + <u64>k)
  if (bytes & 63) tableLoad8(from + <u64>(bytes - 1))
}
