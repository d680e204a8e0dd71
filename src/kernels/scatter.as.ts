// Rows by id: arena -> table. Only the keeper calls this; it is the one writer, so the words need no compare-and-swap.
import { fence, tableAtomicIncrement, rowAddress, stripeAddress } from './access.as'
import { copyIn, touchRow } from './copy.as'

/**
 * An atomic write waits for the stores before it: touched first, the cache lines of this many rows come at once and not one by one. ns per
 * row, random rows of 512 MiB on an AMD EPYC, without -> with: 16 B 48 -> 39, 64 B 61 -> 38, 256 B 130 -> 65, 1 KiB 231 -> 178.
 */
const TOUCH_ROWS: i32 = 64
const TOUCH_BYTES_MAX: i32 = 2048

/**
 * Writes row `i` of the packed rows at `rowsAt` where id `i` says. The row's word is odd from before the first byte until after the
 * last. Ids outside the segment are skipped, with their row.
 */
export function scatter(idsAt: usize, count: i32, rowsAt: usize, firstRow: i32, rowCount: i32, rowBytes: i32): void {
  for (let i = 0; i < count; i++) {
    if ((i & (TOUCH_ROWS - 1)) == 0 && rowBytes <= TOUCH_BYTES_MAX) {
      const end = min(count, i + TOUCH_ROWS)
      for (let next = i; next < end; next++) {
        const local = load<i32>(idsAt + (next << 2)) - firstRow
        if (<u32>local < <u32>rowCount) touchRow(rowAddress(local, rowBytes), rowBytes)
      }
    }
    const local = load<i32>(idsAt + (i << 2)) - firstRow
    if (<u32>local >= <u32>rowCount) continue
    const word = stripeAddress(local)
    tableAtomicIncrement(word)
    // an atomic write keeps earlier stores before it, not later ones after it
    fence()
    copyIn(rowAddress(local, rowBytes), rowsAt + <usize>i * rowBytes, rowBytes)
    tableAtomicIncrement(word)
  }
}
