import type { TableKernels } from '../table.ts'
import { makeConverters } from './elements.ts'
import { makeGathers } from './gather.ts'
import { makeRowWriters } from './rows.ts'
import { makeViews } from './views.ts'

/** What the kernels must do, in plain TypeScript, one value at a time: equal to them in every bit of both memories. */
export const makeReferenceKernels = (table: ArrayBufferLike, arena: ArrayBufferLike): TableKernels => {
  const views = makeViews(table, arena)
  return { ...makeGathers(views), ...makeRowWriters(views), ...makeConverters(views) }
}
