import { type ErrorPlace, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { pointerTo } from '../core/pointers.ts'
import type { IndexArray, Mode } from '../core/types.ts'

/** Stands in the resolved rows where a row of the fill value goes. */
export const FILL_ROW = -1

/**
 * Turns ids into row numbers of a table of `rows` rows, by the rule of `mode` (API.md's table: torch,
 * `jnp.take` with fill, clip and wrap, `A[x]`). `target[i]` becomes 0..rows-1, or FILL_ROW. `shape` and
 * `lengths` are only for naming places. Refuses INDEX_OUT_OF_RANGE with up to ten positions; a table without
 * rows has no row to clip, wrap or clamp to.
 */
export const resolveRows = (
  indices: IndexArray,
  shape: readonly number[],
  target: Int32Array,
  rows: number,
  mode: Mode,
  lengths?: Int32Array,
): void => {
  const outside =
    indices instanceof BigInt64Array || indices instanceof BigUint64Array
      ? resolveWide(indices, target, rows, mode)
      : resolveNarrow(indices, target, rows, mode)
  if (outside > 0)
    refuseOutside(indices, (position) => pointerTo(position, shape, lengths), rows, mode, outside)
}

/** Returns how many ids no row answers. */
const resolveNarrow = (
  indices: Exclude<IndexArray, BigInt64Array | BigUint64Array>,
  target: Int32Array,
  rows: number,
  mode: Mode,
): number => {
  let outside = 0
  for (
    let i = indices instanceof Int32Array ? copyInside(indices, target, rows) : 0;
    i < indices.length;
    i++
  ) {
    const index = indices[i]
    if (index >= 0 && index < rows) target[i] = index
    else {
      const row = placeOutside(index, rows, mode)
      if (row === undefined) outside++
      else target[i] = row
    }
  }
  return outside
}

/**
 * A fast path for int32: copies ids until the first that is out of range, in a loop for one width. Returns
 * how many.
 */
const copyInside = (indices: Int32Array, target: Int32Array, rows: number): number => {
  let i = 0
  for (; i < indices.length; i++) {
    const index = indices[i]
    if (index < 0 || index >= rows) break
    target[i] = index
  }
  return i
}

/**
 * 64-bit ids by their halves: a BigInt is made only for what lies outside the table, so ids beyond 2^53 stay
 * exact.
 */
const resolveWide = (
  indices: BigInt64Array | BigUint64Array,
  target: Int32Array,
  rows: number,
  mode: Mode,
): number => {
  const halves = new Uint32Array(indices.buffer, indices.byteOffset, indices.length * 2)
  const size = BigInt(rows)
  let outside = 0
  for (let i = 0; i < indices.length; i++) {
    const low = halves[2 * i]
    if (halves[2 * i + 1] === 0 && low < rows) target[i] = low
    else {
      // Far outside, the place only depends on the side and on the remainder: both fit a number.
      const index = indices[i]
      const near = index >= -size * 2n && index <= size * 2n
      const row = near ? placeOutside(Number(index), rows, mode) : placeFar(index, rows, mode)
      if (row === undefined) outside++
      else target[i] = row
    }
  }
  return outside
}

/** The row for an id outside 0..rows-1, FILL_ROW, or undefined where the mode has none. */
const placeOutside = (index: number, rows: number, mode: Mode): number | undefined => {
  const fromEnd = index < 0 && index >= -rows
  switch (mode) {
    case 'error':
      return undefined
    case 'fill':
      return fromEnd ? index + rows : FILL_ROW
    case 'clip':
      return rows === 0 ? undefined : index < 0 ? 0 : rows - 1
    case 'wrap':
      return rows === 0 ? undefined : ((index % rows) + rows) % rows
    case 'clamp':
      return rows === 0 ? undefined : fromEnd ? index + rows : index < 0 ? 0 : rows - 1
  }
}

const placeFar = (index: bigint, rows: number, mode: Mode): number | undefined => {
  if (mode !== 'wrap' || rows === 0) return placeOutside(index < 0n ? -Infinity : Infinity, rows, mode)
  const size = BigInt(rows)
  return Number(((index % size) + size) % size)
}

const refuseOutside = (
  indices: IndexArray,
  pointerOf: (position: number) => string,
  rows: number,
  mode: Mode,
  outside: number,
): never => {
  const places: ErrorPlace[] = []
  for (let i = 0; i < indices.length && places.length < LIMITS.errorPlacesMax; i++) {
    const index = indices[i]
    const inside = index >= 0 && index < rows
    if (inside) continue
    places.push({ pointer: `/indices${pointerOf(i)}`, detail: `${index} is outside 0..${rows - 1}` })
  }
  const which = places.map((place) => place.detail.split(' ')[0]).join(', ')
  const why = mode === 'error' ? '' : ` (mode ${mode} has no row to give in a table without rows)`
  return refuse(
    'INDEX_OUT_OF_RANGE',
    `${outside} of ${indices.length} indices are outside the table's ${rows} rows: ${which}${why}`,
    {
      errors: places,
    },
  )
}

/**
 * The row that a padding index means: a negative one counts from the end. -1 for null, and a row that no id
 * resolves to when the index names none.
 */
export const resolvePaddingRow = (index: number | null, rows: number): number => {
  if (index === null) return -1
  return index < 0 ? Math.max(-1, index + rows) : index
}
