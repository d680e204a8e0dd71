import type { AliasRecord } from '../tables/handles.ts'
import type { TableMemory } from '../tables/memory.ts'
import type { Store } from '../storage/store.ts'
import type { Forgetting } from './upkeep/cleanup.ts'
import type { Fronts } from './http-worker-links.ts'
import type { StoreHealth } from './upkeep/health.ts'
import type { Idempotency } from './updates/idempotency.ts'
import type { Scrubbing } from './upkeep/scrubber.ts'
import type { Snapshots } from './upkeep/snapshots.ts'
import type { KeeperTable } from './lifecycle/table-model.ts'
import type { UpdateTurns } from './updates/group-commit.ts'

/** What runs once the data directory is open. */
export interface Opened {
  store: Store
  keys: Idempotency
  turns: UpdateTurns
  snapshots: Snapshots
  scrubbing: Scrubbing
  forgetting: Forgetting
  health: StoreHealth
}

/** What the keeper's procedures work on. */
export interface KeeperParts {
  readonly memory: TableMemory
  readonly tables: Map<string, KeeperTable>
  readonly aliases: Map<string, AliasRecord>
  readonly fronts: Fronts
  /** Refuses NOT_READY before the data directory is open. */
  readonly opened: Opened
  /** Resolves when every table is loaded. */
  readonly loaded: Promise<void>
  /** A number that nothing else in this process has. */
  takeNumber(): number
  /** The table. Refuses TABLE_NOT_FOUND. */
  find(name: string): KeeperTable
  /** Runs `work` when nobody else changes what the table is: its versions, settings, adapter. Updates go on meanwhile. */
  lock<Result>(name: string, work: () => Promise<Result>): Promise<Result>
}
