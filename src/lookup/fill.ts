/** Makes the row that mode `fill` answers for unknown ids. */
import { refuse } from '../core/errors.ts'
import { fitsFloat32 } from '../core/types.ts'
import { int8BiasAt } from '../layout/table-layout.ts'
import type { Arena } from '../tables/arena.ts'
import type { TableReader } from '../tables/table-reader.ts'
import type { LookupPlan } from './plan.ts'

/**
 * Writes one row of the fill value into the arena, in the format in which the gather writes rows. Refuses
 * NON_FINITE for a value that float32 cannot represent.
 */
export const writeFillRow = (arena: Arena, fillAt: number, plan: LookupPlan, reader: TableReader): void => {
  const { dim } = reader.handle
  const { rowFormat, elementType, narrow } = plan
  const value = Math.fround(plan.fillValue)
  if (Number.isFinite(plan.fillValue) && !fitsFloat32(plan.fillValue)) {
    refuse('NON_FINITE', `fill_value ${plan.fillValue} is too large for float32`, {
      errors: [{ pointer: '/fill_value', detail: 'too large for float32' }],
    })
  }
  if (elementType === 'uint8') {
    // Every byte is 0, so every number of the row is the bias.
    arena.bytes.fill(0, fillAt, fillAt + int8BiasAt(dim))
    arena.bytes.set(new Uint8Array(Float32Array.of(value).buffer), fillAt + int8BiasAt(dim))
    return
  }
  if (elementType === 'float32' || narrow) {
    // Rows that are narrowed afterwards round the value with their other numbers.
    arena.float32.fill(value, fillAt / 4, fillAt / 4 + dim)
    return
  }
  // Stored rows are answered without a rounding, so the value gets the one that their numbers have had.
  const scratch = arena.reserve(8)
  const [kernels] = reader.kernels(arena.memory)
  arena.float32[scratch.at / 4] = value
  kernels.convert('float32', elementType, scratch.at, 1, scratch.at + 4)
  if (rowFormat === 'stored')
    arena.uint16.fill(arena.uint16[(scratch.at + 4) / 2], fillAt / 2, fillAt / 2 + dim)
  else {
    kernels.convert(elementType, 'float32', scratch.at + 4, 1, scratch.at)
    arena.float32.fill(arena.float32[scratch.at / 4], fillAt / 4, fillAt / 4 + dim)
  }
  arena.release(scratch)
}
