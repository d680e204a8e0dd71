/** What a store is made of, and what it commits. */
import type { Catalog } from './catalog.ts'
import type { CatalogChange } from './catalog-rows.ts'
import type { DataPaths } from './data-directory.ts'
import type { ErrorLatch } from './error-latch.ts'
import type { SpaceReserve } from './space-reserve.ts'
import type { UpdateBatch, UpdateLog } from './update-log.ts'

/** Updates and changes of the catalog that one transaction commits. */
export interface StoreBatch extends UpdateBatch {
  changes?: readonly CatalogChange[]
}

/** The files of a store, opened and checked by `openStore`. */
export interface StoreDependencies {
  paths: DataPaths
  catalog: Catalog
  /** catalog.db, synced with each commit. */
  disk: UpdateLog
  /** os.db, synced once a second. */
  os: UpdateLog
  reserve: SpaceReserve
  latch: ErrorLatch
  /** Closes the databases, and releases the lock, in the right order. */
  closeAll: () => void
}
