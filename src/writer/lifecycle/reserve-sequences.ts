/** Writes the reserve of sequences, and those that are skipped, to the catalog; see sequences.ts. */
import { assert } from '../../core/assert.ts'
import { LIMITS } from '../../core/limits.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import type { Store } from '../../storage/store.ts'
import { nextSequence } from './sequences.ts'
import { lastSequence, type TableModel, type VersionModel } from './table-model.ts'
import { toCatalogVersion } from './to-catalog.ts'

/**
 * Reserves sequences in the catalog if the next one is not, and then lists the skipped ones. One update in
 * `sequencesReservedMax` costs a commit. Throws DISK_FULL or StoreFailed.
 */
export const reserveSequences = (store: Store, table: TableModel, model: VersionModel): void => {
  const { sequences, stored } = model
  if (nextSequence(model) <= sequences.reserved) return
  const last = lastSequence(model)
  const { floor } = sequences
  const changes: CatalogChange[] = []
  const pending = floor > last ? sequences.skips.at(-1) : undefined
  if (pending !== undefined) {
    assert(pending.first === last + 1 && pending.last === floor, 'the last skip ends where updates go on')
    // After going back, the catalog may list skips that lie within this one.
    changes.push({ kind: 'delete-skips', tableId: table.id, version: model.handle.version, after: last })
    changes.push({ kind: 'put-skip', skip: pending })
  }
  const reserved = Math.max(last, floor) + LIMITS.sequencesReservedMax
  store.commit({
    changes: [...changes, toCatalogVersion(table.id, { ...model, sequences: { ...sequences, reserved } })],
  })
  sequences.reserved = reserved
  // The journal now continues behind the skipped sequences.
  if (pending !== undefined && stored.durableSequence >= last) stored.durableSequence = floor
}

/**
 * The catalog's changes of a clean stop, after which the next start skips nothing: the reserve of every
 * version whose updates are all on disk ends with its last one.
 */
export const planCleanStop = (tables: Iterable<TableModel>): CatalogChange[] =>
  [...tables].flatMap((table) =>
    [...table.versions.values()].flatMap((model) => {
      const { sequences, stored } = model
      const reserved = Math.max(lastSequence(model), sequences.floor)
      if (stored.durableSequence < lastSequence(model) || sequences.reserved === reserved) return []
      return [toCatalogVersion(table.id, { ...model, sequences: { ...sequences, reserved } })]
    }),
  )
