/** Makes computed updates visible to readers. */
import { gatherStored, scatterStored } from '../../tables/table-writer.ts'
import type { Arena } from '../../tables/arena.ts'
import type { TableWriter } from '../../tables/table-writer.ts'
import type { PlannedUpdate } from './apply.ts'
import { failpoint } from '../../storage/failpoints.ts'
import type { PreImageLog } from './pre-images.ts'
import { fillUntouched, markTouched, type OptimizerState } from '../lifecycle/optimizer-state.ts'

/** Pre-images are recorded in blocks of about this many bytes. */
const BLOCK_BYTES = 64 * 1024

/**
 * Writes the rows of an update inside one lock window, and releases its post-images. `logs` are the pre-image
 * logs of all running exports, of any table. An exception here leaves rows half written, which only a restart
 * repairs.
 */
export const makeVisible = (arena: Arena, update: PlannedUpdate, logs: readonly PreImageLog[]): void => {
  const { model, rows, postImages, state } = update
  const { idsAt, rowsAt, stateAt } = postImages
  const count = rows.length
  recordPreImages(arena, logs, rows, idsAt, model.table, null)
  if (state !== null) recordPreImages(arena, logs, rows, idsAt, state.rows, state)
  model.table.write(update, () => {
    scatterStored(model.table, arena, { idsAt, count, sourceAt: rowsAt })
    failpoint('update:half-visible')
    if (state === null) return
    scatterStored(state.rows, arena, { idsAt, count, sourceAt: stateAt })
    markTouched(state, rows)
  })
  arena.release(postImages.region)
}

/** Records the present rows, of the table or of its state, for the exports that read them. */
const recordPreImages = (
  arena: Arena,
  logs: readonly PreImageLog[],
  rows: Int32Array,
  idsAt: number,
  source: TableWriter,
  state: OptimizerState | null,
): void => {
  const matching = logs.filter((log) => log.source === source)
  if (matching.length === 0) return
  const blockRows = Math.max(1, Math.floor(BLOCK_BYTES / source.rowBytes))
  const region = arena.reserve(Math.min(blockRows, rows.length) * source.rowBytes)
  try {
    for (let first = 0; first < rows.length; first += blockRows) {
      const blockIds = rows.subarray(first, first + blockRows)
      gatherStored(source, arena, { idsAt: idsAt + first * 4, count: blockIds.length, outAt: region.at })
      if (state !== null) fillUntouched(state, blockIds, 0, blockIds.length, arena.float32, region.at / 4)
      for (const log of matching)
        log.record(blockIds, arena.bytes.subarray(region.at, region.at + blockIds.length * source.rowBytes))
    }
  } finally {
    arena.release(region)
  }
}
