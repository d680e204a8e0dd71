/** Gathers what the data directory holds of each version and plans what to load. */
import type {
  CatalogImage,
  CatalogSkip,
  CatalogSnapshot,
  CatalogTable,
  CatalogVersion,
} from '../../storage/catalog-rows.ts'
import { type LoadPlan, planVersion, type SnapshotEvidence } from '../../storage/recovery-plan.ts'
import { refuseData } from '../../storage/refusals.ts'
import { classifySnapshot } from '../../storage/snapshot-read.ts'
import type { Store } from '../../storage/store.ts'

/**
 * A listed version and the condition of its snapshots. A snapshot that proves damaged is marked here, and the
 * version is planned again.
 */
export interface VersionFound {
  table: CatalogTable
  versionRow: CatalogVersion
  snapshots: SnapshotEvidence[]
  skips: CatalogSkip[]
}

/**
 * Returns every version of the catalog. Its snapshots are judged by their ends and lengths. Refuses
 * UnknownFormat.
 */
export const findVersions = async (store: Store, image: CatalogImage): Promise<VersionFound[]> => {
  const tables = new Map(image.tables.map((table) => [table.id, table]))
  const found: VersionFound[] = []
  for (const versionRow of image.versions) {
    const table = tables.get(versionRow.tableId)
    if (table === undefined) {
      return refuseData(
        'DamagedCatalog',
        store.paths.catalog,
        `version ${versionRow.version} belongs to table ${versionRow.tableId}, which the catalog does not list`,
      )
    }
    const listed = image.snapshots.filter(
      ({ tableId, version: number }) => tableId === table.id && number === versionRow.version,
    )
    const snapshots: SnapshotEvidence[] = []
    for (const snapshot of listed)
      snapshots.push({ listed: snapshot, state: await classifySnapshot(store.paths.snapshots, snapshot) })
    const skips = image.skips.filter(
      ({ tableId, version: number }) => tableId === table.id && number === versionRow.version,
    )
    found.push({ table, versionRow, snapshots, skips })
  }
  return found
}

/**
 * Plans what to load for a version. Refuses MissingFile, DamagedSnapshot and JournalGap, unless `goesBack`
 * finds an older state that is whole.
 */
export const planFound = (store: Store, found: VersionFound, goesBack: boolean): LoadPlan => {
  const { table, versionRow, snapshots, skips } = found
  const plan = planVersion(
    {
      table,
      versionRow,
      snapshots,
      journal: store.inspectJournal(table.id, versionRow.version, skips),
      journalFile: store.paths.catalog,
      snapshotFolder: store.paths.snapshots,
    },
    goesBack,
  )
  return plan.kind === 'load' ? plan : refuseData(plan.code, plan.file, plan.detail)
}

/** Returns the names of the files that the catalog lists. */
export const listFiles = (image: CatalogImage): Set<string> =>
  new Set([
    ...image.snapshots.map(({ file }: CatalogSnapshot) => file),
    ...image.adapters.flatMap(({ fileA, fileB }) => [fileA, fileB]),
  ])
