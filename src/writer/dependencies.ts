import type { AliasRecord } from '../tables/handles.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { Store } from '../storage/store.ts'
import type { Cleanup } from './upkeep/cleanup.ts'
import type { HttpWorkerLinks } from './http-worker-links.ts'
import type { StoreHealth } from './upkeep/health.ts'
import type { Idempotency } from './updates/idempotency.ts'
import type { Scrubber } from './upkeep/scrubber.ts'
import type { Snapshots } from './upkeep/snapshots.ts'
import type { BuildOrder } from './lifecycle/build-order.ts'
import type { ChangeKeys } from './lifecycle/change-keys.ts'
import type { FormerTables } from './lifecycle/former-tables.ts'
import type { TableModel } from './lifecycle/table-model.ts'
import type { GroupCommit } from './updates/group-commit.ts'

/** What runs once the data directory is open. */
export interface OpenStorage {
  store: Store
  keys: Idempotency
  changeKeys: ChangeKeys
  groupCommit: GroupCommit
  snapshots: Snapshots
  scrubber: Scrubber
  cleanup: Cleanup
  health: StoreHealth
}

/** What the writer's procedures work on. */
export interface WriterDependencies {
  readonly memory: TableMemory
  readonly tables: Map<string, TableModel>
  readonly aliases: Map<string, AliasRecord>
  readonly formerTables: FormerTables
  readonly httpWorkers: HttpWorkerLinks
  readonly buildOrder: BuildOrder
  /** Refuses NOT_READY before the data directory is open. */
  readonly storage: OpenStorage
  /** Resolves when every table is loaded. */
  readonly loaded: Promise<void>
  /** A number that nothing else in this process has. */
  takeNumber(): number
  /** The table. Refuses TABLE_NOT_FOUND. */
  find(name: string): TableModel
  /**
   * Runs `work` when nobody else changes what the table is: its versions, settings, adapter. Updates go on
   * meanwhile.
   */
  lock<Result>(name: string, work: () => Promise<Result>): Promise<Result>
}
