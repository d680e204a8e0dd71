/** Recovers the writer's tables from the data directory at a start. */
import { GatherdError } from '../../core/errors.ts'
import { tableBytes } from '../../layout/table-layout.ts'
import type { Arena } from '../../tables/arena.ts'
import type { AliasRecord } from '../../tables/handles.ts'
import type { TableMemory } from '../../tables/memory.ts'
import type { CatalogImage } from '../../storage/catalog-rows.ts'
import { findOrphans } from '../../storage/recovery-plan.ts'
import { isDamagedFile, refuseData } from '../../storage/refusals.ts'
import { sweepSnapshots } from '../../storage/snapshot-write.ts'
import type { Store } from '../../storage/store.ts'
import type { TableModel, VersionModel } from '../lifecycle/table-model.ts'
import { heldVersions } from '../lifecycle/aliases.ts'
import { FormerTables } from '../lifecycle/former-tables.ts'
import { loadAdapter } from './load-adapter.ts'
import { loadVersion } from './load-version.ts'
import { dropUseless, isDiskFull, keepAside } from './set-aside.ts'
import { findVersions, listFiles, planFound, type VersionFound } from './plan-version.ts'

/** The progress of a start, over all tables. */
export interface LoadProgress {
  table: string
  version: number
  loadedBytes: number
  totalBytes: number
  loadedRows: number
  totalRows: number
}

/** Describes the progress for people: rows and bytes of all tables, and the time left at the speed so far. */
export const describeProgress = (progress: LoadProgress, elapsedMs: number): string => {
  const { table, version, loadedRows, totalRows, loadedBytes, totalBytes } = progress
  const leftMs = loadedBytes === 0 ? null : (elapsedMs * (totalBytes - loadedBytes)) / loadedBytes
  const left = leftMs === null ? '' : `, about ${Math.ceil(leftMs / 1_000)} s left`
  const far = `${loadedRows} of ${totalRows} rows, ${loadedBytes} of ${totalBytes} bytes of all tables`
  return `table ${JSON.stringify(table)}, version ${version}, is being loaded: ${far}${left}`
}

export interface RecoverDependencies {
  store: Store
  memory: TableMemory
  arena: Arena
  /** Whether to go back to the state before damage instead of refusing. */
  goesBack: boolean
  takeNumber: () => number
  onProgress: (progress: LoadProgress) => void
  /** Called with a line for people: a snapshot that could not be used, or what going back loses. */
  onWarning: (line: string) => void
}

export interface Recovered {
  tables: Map<string, TableModel>
  aliases: Map<string, AliasRecord>
  formerTables: FormerTables
}

/**
 * Rebuilds the writer's tables from an open store: for each version, the newest snapshot that is whole and
 * every record after its start. Refuses with StoredDataRefusal when the data cannot be trusted, and with
 * MEMORY_QUOTA_EXCEEDED.
 */
export const recover = async (dependencies: RecoverDependencies): Promise<Recovered> => {
  const { store } = dependencies
  const image = store.load()
  const found = await findVersions(store, image)
  const totals = sumUp(found)
  const loaded = new Map<string, VersionModel>()
  let before = { loadedBytes: 0, loadedRows: 0 }
  for (const one of found) {
    const { table, versionRow } = one
    const bytes = tableBytes(versionRow.rows, versionRow.dim, versionRow.dtype)
    const tell = (share: number): void => {
      const loadedBytes = before.loadedBytes + Math.round(bytes * share)
      const loadedRows = before.loadedRows + Math.round(versionRow.rows * share)
      dependencies.onProgress({
        table: table.name,
        version: versionRow.version,
        ...totals,
        loadedBytes,
        loadedRows,
      })
    }
    tell(0)
    loaded.set(
      `${table.id}/${versionRow.version}`,
      await loadFound(dependencies, one, (done) => tell(bytes === 0 ? 1 : Math.min(1, done / bytes))),
    )
    before = { loadedBytes: before.loadedBytes + bytes, loadedRows: before.loadedRows + versionRow.rows }
  }
  await loadAdapters(dependencies, image, loaded)
  await sweepSnapshots(store.paths.snapshots, listFiles(store.load()))
  await pruneOrphans(dependencies, image)
  const aliases = new Map(image.aliases.map((alias): [string, AliasRecord] => [alias.alias, alias]))
  return { tables: buildTables(store, image, loaded), aliases, formerTables: new FormerTables(image.names) }
}

/**
 * Removes the journals of versions that the catalog does not list. A full disk leaves them to a later start.
 */
const pruneOrphans = async (
  { store, onWarning }: RecoverDependencies,
  image: CatalogImage,
): Promise<void> => {
  try {
    for (const { tableId, version } of findOrphans(image, store.journalStreams())) {
      while (!store.pruneJournal(tableId, version, Number.MAX_SAFE_INTEGER)) await new Promise(setImmediate)
    }
  } catch (error) {
    if (!isDiskFull(error)) throw error
    onWarning('the disk is full: the journals of deleted tables are removed by a later start')
  }
}

const sumUp = (found: readonly VersionFound[]): Pick<LoadProgress, 'totalBytes' | 'totalRows'> => ({
  totalBytes: found.reduce(
    (sum, { versionRow }) => sum + tableBytes(versionRow.rows, versionRow.dim, versionRow.dtype),
    0,
  ),
  totalRows: found.reduce((sum, { versionRow }) => sum + versionRow.rows, 0),
})

/**
 * Loads one version. A snapshot that proves damaged while it is read is marked, and the version is planned
 * again without it.
 */
const loadFound = async (
  dependencies: RecoverDependencies,
  found: VersionFound,
  onProgress: (bytes: number) => void,
): Promise<VersionModel> => {
  const { store, onWarning } = dependencies
  for (;;) {
    const plan = planFound(store, found, dependencies.goesBack)
    try {
      const model = await loadVersion(
        { ...dependencies, onProgress },
        found,
        plan,
        `v${dependencies.takeNumber()}`,
      )
      dropUseless(dependencies, found, model.stored)
      for (const warning of plan.warnings) onWarning(warning)
      if (plan.discard) store.discardJournal(found.table.id, found.versionRow.version, plan.replay.last)
      return model
    } catch (error) {
      const evidence = found.snapshots.find(({ listed }) => listed === plan.snapshot)
      if (!isDamagedFile(error) || evidence === undefined || evidence.state !== 'valid')
        throw sayQuota(error, found.table.name)
      evidence.state = 'damaged'
      onWarning(error.message)
    }
  }
}

/**
 * Names the table and the remedy, since the quota of this start may be smaller than that of the one before.
 */
const sayQuota = (error: unknown, name: string): unknown =>
  error instanceof GatherdError && error.code === 'MEMORY_QUOTA_EXCEEDED'
    ? new GatherdError(
        error.code,
        `table ${JSON.stringify(name)} cannot be loaded: ${error.message}; raise GATHERD_MEMORY_QUOTA_BYTES`,
      )
    : error

const loadAdapters = async (
  { store, memory, goesBack, takeNumber, onWarning }: RecoverDependencies,
  image: CatalogImage,
  loaded: ReadonlyMap<string, VersionModel>,
): Promise<void> => {
  for (const listed of image.adapters) {
    const model = loaded.get(`${listed.tableId}/${listed.version}`)
    if (model === undefined) {
      refuseData(
        'DamagedCatalog',
        store.paths.catalog,
        `an adapter belongs to table ${listed.tableId}, version ${listed.version}, ` +
          'which the catalog does not list',
      )
    }
    try {
      model.adapter = await loadAdapter(store.paths.snapshots, memory, model, listed, `a${takeNumber()}`)
    } catch (error) {
      if (!goesBack || !isDamagedFile(error)) {
        throw sayQuota(error, image.tables.find(({ id }) => id === listed.tableId)?.name ?? '')
      }
      keepAside(store, [listed.fileA, listed.fileB], onWarning)
      onWarning(`${error.message}: the adapter is lost`)
      store.commit({
        changes: [{ kind: 'delete-adapter', tableId: listed.tableId, version: listed.version }],
      })
    }
  }
}

const buildTables = (
  store: Store,
  image: CatalogImage,
  loaded: ReadonlyMap<string, VersionModel>,
): Map<string, TableModel> =>
  new Map(
    image.tables.map((table) => {
      const versions = image.versions
        .filter(({ tableId }) => tableId === table.id)
        .map(({ version }): [number, VersionModel | undefined] => [
          version,
          loaded.get(`${table.id}/${version}`),
        ])
      const current = loaded.get(`${table.id}/${table.current}`)
      if (current === undefined) {
        return refuseData(
          'DamagedCatalog',
          store.paths.catalog,
          `the catalog does not list the current version of table ${JSON.stringify(table.name)}`,
        )
      }
      const { id, name, settings, highest, stateEpoch, revision } = table
      return [
        name,
        {
          id,
          name,
          settings,
          createdAt: table.createdAtMs,
          changedAt: table.changedAtMs,
          highest,
          stateEpoch,
          revision,
          held: heldVersions(image.aliases, name, new Map(versions as [number, VersionModel][])),
          current,
          versions: new Map(versions as [number, VersionModel][]),
        },
      ]
    }),
  )
