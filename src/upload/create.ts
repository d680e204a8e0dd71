/** Creates a table from a specification. */
import { setImmediate } from 'node:timers/promises'
import { assert } from '../core/assert.ts'
import type { Dtype, Precondition, Settings } from '../core/types.ts'
import type { Arena } from '../tables/arena.ts'
import {
  bindBuild,
  type BuildKey,
  buildTable,
  type BuiltTable,
  checkTableShape,
  type WriterConnection,
} from './build.ts'
import {
  completeInitializer,
  type CompleteInitializer,
  type Initializer,
  initializeRows,
} from './initializers.ts'
import { refuseNonFinite, RowLoader } from './row-loader.ts'

/** The specification of a table. */
export interface Specification {
  name: string
  rows: number
  dim: number
  dtype: Dtype
  /** The values of all rows, rows x dim; or the initializer that makes them. */
  source: { values: Float32Array } | { initializer: Initializer }
  /** Whether NaN and infinity among the values are stored as they are. */
  allowNonFinite?: boolean
  settings: Partial<Settings>
  precondition: Precondition
  /** Called between slices; throws when nobody waits for the table any more. */
  checkWanted?: () => void
  key?: BuildKey
}

/**
 * A {@link BuiltTable} with the initializer that was used: its defaults are filled in, and its seed is chosen
 * if none was given.
 */
export interface CreatedTable extends BuiltTable {
  initializer: CompleteInitializer | null
}

/**
 * Bytes that are filled before the event loop runs other work: a few milliseconds for the costliest
 * initializer.
 */
const SLICE_BYTES = 256 * 1024

/**
 * Creates or replaces a table from a specification. Other work runs between chunks, so that a large table
 * does not block the thread. Refuses SHAPE_MISMATCH for a shape that no table has, INVALID_REQUEST for an
 * initializer without meaning, NON_FINITE for values (with a pointer into `/values`) or an initializer beyond
 * the dtype's range, and whatever the writer refuses.
 */
export const createTable = async (
  writer: WriterConnection,
  arena: Arena,
  specification: Specification,
): Promise<CreatedTable> => {
  const { name, rows, dim, dtype, source, settings, precondition, checkWanted = () => {} } = specification
  checkTableShape(rows, dim)
  const initializer = 'initializer' in source ? completeInitializer(source.initializer, dim) : null
  const built = await buildTable(
    writer,
    { name, rows, dim, dtype, settings, precondition },
    async (segments) => {
      // New memory is zero, and zero bits are zero in every dtype. Pages that are never touched also take no
      // physical memory.
      if (initializer?.kind === 'zeros') return 0
      const writer = new RowLoader(arena, segments, { dim, sourceType: 'float32', dtype })
      try {
        if ('values' in source) await writeValues(writer, source.values, rows * dim, checkWanted)
        else if (initializer !== null) await writeInitial(writer, initializer, rows, dim, checkWanted)
      } finally {
        writer.close()
      }
      const pointer =
        'values' in source
          ? (row: number, column: number) => `/values/${row}/${column}`
          : () => '/initializer'
      if (specification.allowNonFinite !== true)
        refuseNonFinite(writer.firstNonFinite, { dim, dtype }, pointer)
      return 0
    },
    () => bindBuild(specification.key, () => null),
  )
  return { ...built, initializer }
}

const writeValues = async (
  writer: RowLoader,
  values: Float32Array,
  count: number,
  checkWanted: () => void,
): Promise<void> => {
  assert(values.length === count, 'values are rows x dim')
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    if (at > 0) await setImmediate()
    checkWanted()
    writer.write(bytes.subarray(at, at + SLICE_BYTES))
  }
}

const writeInitial = async (
  writer: RowLoader,
  initializer: CompleteInitializer,
  rows: number,
  dim: number,
  checkWanted: () => void,
): Promise<void> => {
  const fill = initializeRows(initializer, rows, dim)
  const sliceRows = Math.max(1, Math.floor(SLICE_BYTES / (dim * 4)))
  const target = new Float32Array(Math.min(sliceRows, rows) * dim)
  const bytes = new Uint8Array(target.buffer)
  for (let row = 0; row < rows; row += sliceRows) {
    if (row > 0) await setImmediate()
    checkWanted()
    const rowCount = Math.min(sliceRows, rows - row)
    fill(row, rowCount, target)
    writer.write(bytes.subarray(0, rowCount * dim * 4))
  }
}
