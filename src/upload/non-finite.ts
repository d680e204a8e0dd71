import { refuse } from '../core/errors.ts'
import type { Dtype } from '../core/types.ts'

/** Refuses (NON_FINITE), by row and column, the first element that is not finite; -1: all are. `pointer`: where it is in a JSON body. */
export const refuseNonFinite = (
  element: number,
  { dim, dtype }: { dim: number; dtype: Dtype },
  pointer?: (row: number, column: number) => string,
): void => {
  if (element < 0) return
  const row = Math.floor(element / dim)
  const column = element % dim
  const detail = `the value at row ${row}, column ${column} is not finite as ${dtype}`
  if (pointer === undefined) refuse('NON_FINITE', `${detail}; ?allow_non_finite=true stores it all the same`)
  refuse('NON_FINITE', detail, {
    errors: [{ pointer: pointer(row, column), detail: `not finite as ${dtype}` }],
  })
}
