/** Turns the ids of a request into row numbers, by the mode that the request chose for ids out of range. */
import { type ErrorPlace, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { pointerTo } from '../core/pointers.ts'
import type { IndexArray, Mode } from '../core/types.ts'

/** The resolved row number of an id that takes the fill value. */
export const FILL_ROW = -1

/**
 * Turns ids into row numbers of a table of `rows` rows by the rule of `mode` (docs/reference/semantics.md:
 * torch, `jnp.take` with fill, clip and wrap, `A[x]`). `target[i]` becomes 0..rows-1, or FILL_ROW. `shape`
 * and `lengths` are only used to name positions in errors. Refuses INDEX_OUT_OF_RANGE with up to ten
 * positions; clip, wrap and clamp refuse too if the table has no rows.
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

/** Resolves ids that fit a number. Returns how many of them have no row. */
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
      const row = rowOutside(index, rows, mode)
      if (row === undefined) outside++
      else target[i] = row
    }
  }
  return outside
}

/**
 * Fast path for int32: copies ids until the first one that is out of range, in a loop over a single element
 * type. Returns the count copied.
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
 * Resolves 64-bit ids by their 32-bit halves. A BigInt is created only for ids outside the table, so ids
 * beyond 2^53 stay exact and the common case stays fast.
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
      // Far outside the table, the row depends only on the sign and on the remainder, which both fit a
      // number.
      const index = indices[i]
      const near = index >= -size * 2n && index <= size * 2n
      const row = near ? rowOutside(Number(index), rows, mode) : rowFarOutside(index, rows, mode)
      if (row === undefined) outside++
      else target[i] = row
    }
  }
  return outside
}

/** Returns the row for an id outside 0..rows-1: a row number, FILL_ROW, or undefined if the mode has none. */
const rowOutside = (index: number, rows: number, mode: Mode): number | undefined => {
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

const rowFarOutside = (index: bigint, rows: number, mode: Mode): number | undefined => {
  if (mode !== 'wrap' || rows === 0) return rowOutside(index < 0n ? -Infinity : Infinity, rows, mode)
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
  const listed = places.map((place) => place.detail.split(' ')[0]).join(', ')
  const reason = mode === 'error' ? '' : ` (mode ${mode} needs a table with at least one row)`
  return refuse(
    'INDEX_OUT_OF_RANGE',
    `${outside} of ${indices.length} indices are outside the table's ${rows} rows: ${listed}${reason}`,
    {
      errors: places,
    },
  )
}

/**
 * Refuses (INVALID_REQUEST) a padding index that names no row: it would pad nothing, and "the id after the
 * last row" is a usual mistake. null is no index.
 */
export const checkPaddingIndex = (index: number | null | undefined, rows: number): void => {
  if (typeof index !== 'number' || (index >= -rows && index < rows)) return
  const expected = rows === 0 ? 'null, since the table has no rows' : `${-rows}..${rows - 1} or null`
  refuse('INVALID_REQUEST', `padding_index ${index} names no row of a table of ${rows} rows`, {
    errors: [{ pointer: '/padding_index', detail: `expected ${expected}` }],
  })
}

/**
 * Returns the row that a padding index refers to; a negative index counts from the end. Returns -1 for null,
 * and a number that no id resolves to if the index is outside the table.
 */
export const resolvePaddingRow = (index: number | null, rows: number): number => {
  if (index === null) return -1
  return index < 0 ? Math.max(-1, index + rows) : index
}
