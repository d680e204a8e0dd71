/**
 * The highest versions of deleted tables. A table that is made again under the name goes on from there, so
 * that no ETag ever names two versions.
 */
import { LIMITS } from '../../core/limits.ts'
import type { CatalogChange, CatalogName } from '../../storage/catalog-rows.ts'

/** A change of the catalog, and the function that makes the same change in memory once it is committed. */
export interface FormerChange {
  changes: CatalogChange[]
  confirm: () => void
}

/** The row that covers every name without one of its own. */
const FLOOR_ID = 0

/**
 * The names of deleted tables with their highest versions, at most `formerTableCountMax`. Beyond that the
 * oldest name loses its row, and its version becomes the least from which any new table goes on.
 */
export class FormerTables {
  /** By name, oldest first. */
  readonly #rows = new Map<string, CatalogName>()
  #floor = 0

  constructor(rows: readonly CatalogName[] = []) {
    for (const row of rows) {
      if (row.id === FLOOR_ID) this.#floor = row.highest
      else this.#rows.set(row.name, row)
    }
  }

  /** The highest version that a table of this name may have had; 0 if there was none. */
  highestOf(name: string): number {
    return Math.max(this.#floor, this.#rows.get(name)?.highest ?? 0)
  }

  /** Plans that a table of this name exists again: its own row has its versions from now on. */
  planCreation(name: string): FormerChange {
    const row = this.#rows.get(name)
    return {
      changes: row === undefined ? [] : [{ kind: 'delete-name', nameId: row.id }],
      confirm: () => void this.#rows.delete(name),
    }
  }

  /** Plans that the table of this name is deleted. `id` is a number that nothing else has. */
  planDeletion(name: string, highest: number, id: number): FormerChange {
    const row = { id, name, highest }
    const [oldest] = this.#rows.values()
    const isFull = oldest !== undefined && this.#rows.size >= LIMITS.formerTableCountMax
    const floor = isFull ? Math.max(this.#floor, oldest.highest) : this.#floor
    const folded: CatalogChange[] = isFull
      ? [
          { kind: 'delete-name', nameId: oldest.id },
          { kind: 'put-name', nameRow: { id: FLOOR_ID, name: '', highest: floor } },
        ]
      : []
    return {
      changes: [...folded, { kind: 'put-name', nameRow: row }],
      confirm: () => {
        if (isFull) this.#rows.delete(oldest.name)
        this.#floor = floor
        this.#rows.set(name, row)
      },
    }
  }
}
