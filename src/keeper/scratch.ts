import type { Arena, Region } from '../tables/arena.ts'
import type { TableVersion } from '../tables/table.ts'
import type { UpdateArguments } from './protocol.ts'
import type { OptimizerState } from './state.ts'
import type { TouchedRows } from './update.ts'

/** Where in the keeper's arena an update is computed. Addresses, in bytes; each part begins on a cache line. */
export interface Scratch {
  /** The distinct rows, int32. */
  idsAt: number
  /** Which of them each index means, int32. */
  slotsAt: number
  /** The values of the update, float32: one row for each index. */
  valuesAt: number
  /** Room for the distinct rows as float32; in the end they are there as stored. */
  rowsAt: number
  /** Room for their state. */
  stateAt: number
  region: Region
}

const ALIGN = 64

/** Reserves the scratch of an update and brings its numbers there. To be released as one region. Refuses OVERLOADED. */
export const reserveScratch = (
  arena: Arena,
  { indices, values }: UpdateArguments,
  { rows, slots }: TouchedRows,
  version: TableVersion,
  state: OptimizerState | null,
): Scratch => {
  const sizes = [rows.length, indices.length, values.length, rows.length * version.handle.dim, rows.length * (state?.length ?? 0)]
  const bytes = sizes.map((count) => Math.ceil((count * 4) / ALIGN) * ALIGN)
  const region = arena.reserve(bytes.reduce((sum, part) => sum + part, 0))
  let at = region.at
  const [idsAt, slotsAt, valuesAt, rowsAt, stateAt] = bytes.map((part) => (at += part) - part)
  arena.int32.set(rows, idsAt / 4)
  arena.int32.set(slots, slotsAt / 4)
  // The copy of a Buffer: a typed array's `set` into shared memory is several times slower.
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(arena.bytes, valuesAt)
  return { idsAt, slotsAt, valuesAt, rowsAt, stateAt, region }
}
