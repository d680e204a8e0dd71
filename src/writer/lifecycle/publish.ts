/** Publishes changed tables to the HTTP workers, and gives up what has left them. */
import { failpoint } from '../../storage/failpoints.ts'
import { describeVersion } from '../../tables/describe.ts'
import { adapterMemories, memoriesOf } from '../../tables/handles.ts'
import type { WriterDependencies } from '../dependencies.ts'
import type { ChangedTable } from '../protocol.ts'
import { stateMemories } from './optimizer-state.ts'
import { type TableModel, toRecord, type VersionModel } from './table-model.ts'

/**
 * Publishes the table, or that it is gone, retires the versions that have left it and cleans up their files.
 */
export const publishTable = async (
  writer: WriterDependencies,
  { id, name }: TableModel,
  retired: readonly VersionModel[],
): Promise<void> => {
  const { httpWorkers, storage } = writer
  for (const { handle, reservedBytes, state, adapter } of retired) {
    const memories = [...memoriesOf(handle.segments), ...stateMemories(state)]
    httpWorkers.retire(handle.key, reservedBytes + (state?.reservedBytes ?? 0), memories)
    if (adapter !== null)
      httpWorkers.retire(adapter.handle.key, adapter.reservedBytes, adapterMemories(adapter.handle))
  }
  const table = writer.tables.get(name)
  await httpWorkers.publish(name, table === undefined ? null : toRecord(table))
  failpoint('publish:done')
  for (const { handle, stored, adapter } of retired) {
    storage.cleanup.records(id, handle.version, Number.MAX_SAFE_INTEGER)
    storage.cleanup.files([...stored.snapshots.map(({ file }) => file), ...(adapter?.files ?? [])])
  }
}

/** The table as the client that changed it sees it. */
export const describeChanged = (table: TableModel): ChangedTable => ({
  info: describeVersion(toRecord(table), table.current.handle, {
    sequence: table.current.table.readSequence(),
    updatedAtMs: table.current.table.readUpdatedAt(),
  }),
  revision: table.revision,
})
