/** The procedures of the writer that HTTP workers call. */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { adapterMemories } from '../tables/handles.ts'
import { makeAliasProcedures, refuseAlias } from './lifecycle/aliases.ts'
import {
  changeSettings,
  commitBuild,
  removeTable,
  rollBack,
  withCurrentJournaled,
} from './lifecycle/changes.ts'
import { beginExport, endExport, readPreImages } from './upkeep/exports.ts'
import type { HttpWorkerLink } from './http-worker-links.ts'
import { makeAdapterProcedures } from './lifecycle/adapter-procedures.ts'
import type { WriterDependencies } from './dependencies.ts'
import type { WriterCalls, WriterProcedure, UpdateRef } from './protocol.ts'
import { beginBuild, releaseBuild, toRecord } from './lifecycle/table-model.ts'
import type { ShownUpdate } from './updates/update.ts'

/** The implementations of all procedures. Each gets the link of the HTTP worker that calls. */
export type Procedures = {
  [Name in WriterProcedure]: (
    httpWorker: HttpWorkerLink,
    argument: WriterCalls[Name]['argument'],
  ) => WriterCalls[Name]['answer'] | Promise<WriterCalls[Name]['answer']>
}

/** Makes the procedures, which work on `writer`. */
export const makeProcedures = (writer: WriterDependencies): Procedures => ({
  sync: async () => {
    await writer.loaded
    return null
  },
  update: (httpWorker, argument) =>
    writer.storage.groupCommit.submit('places' in argument ? showUpdate(httpWorker, argument) : argument),
  recall: (_httpWorker, { name, key }) => writer.storage.keys.recall(writer.find(name), key),
  snapshot: async () => ({ snapshots: await writer.storage.snapshots.takeStale() }),
  ...makeBuildProcedures(writer),
  ...makeTableProcedures(writer),
  ...makeKeyProcedures(writer),
  ...makeAliasProcedures(writer),
  ...makeAdapterProcedures({
    memory: () => writer.memory,
    store: () => writer.storage.store,
    cleanup: () => writer.storage.cleanup,
    changeKeys: () => writer.storage.changeKeys,
    takeNumber: () => writer.takeNumber(),
    find: (name) => writer.find(name),
    lock: (name, work) => writer.lock(name, work),
    journal: (table, change) => withCurrentJournaled(writer, table, change),
    publish: (name) => writer.httpWorkers.publish(name, toRecord(writer.find(name))),
    retire: ({ handle, reservedBytes }) =>
      new Promise((resolve) =>
        writer.httpWorkers.retire(handle.key, reservedBytes, adapterMemories(handle), resolve),
      ),
  }),
  ...makeExportProcedures(writer),
})

const showUpdate = ({ updateSource }: HttpWorkerLink, { places, ...head }: UpdateRef): ShownUpdate => {
  assert(updateSource !== null, 'an HTTP worker sends its memory before it refers to updates in it')
  return { ...head, source: { ...places, updateSource } }
}

const makeBuildProcedures = (
  writer: WriterDependencies,
): Pick<Procedures, 'beginBuild' | 'commitBuild' | 'abortBuild'> => ({
  beginBuild: async (httpWorker, argument) => {
    await writer.memory.whenGivenBack()
    refuseAlias(writer, argument.name)
    const buildId = writer.takeNumber()
    const build = beginBuild(writer.tables, writer.memory, `v${buildId}`, argument, Date.now())
    httpWorker.builds.set(buildId, build)
    writer.buildOrder.begin(buildId)
    return { buildId, segments: build.handle.segments, state: build.state?.rows.handle.segments ?? null }
  },
  commitBuild: async (httpWorker, { buildId, ...commit }) => {
    const build =
      httpWorker.builds.get(buildId) ??
      refuse('PRECONDITION_FAILED', 'the upload was aborted before its commit')
    // From here on this procedure owns the build, even if the HTTP worker dies.
    httpWorker.builds.delete(buildId)
    const { name } = build.arguments
    const commitInOrder = async (): Promise<WriterCalls['commitBuild']['answer']> => {
      try {
        writer.buildOrder.check(name, buildId)
      } catch (error) {
        releaseBuild(build, writer.memory)
        throw error
      }
      const answer = await commitBuild(writer, build, commit)
      writer.buildOrder.note(name, buildId)
      return answer
    }
    return writer.lock(name, commitInOrder).finally(() => writer.buildOrder.end(buildId))
  },
  abortBuild: (httpWorker, { buildId }) => {
    const build = httpWorker.builds.get(buildId)
    httpWorker.builds.delete(buildId)
    writer.buildOrder.end(buildId)
    if (build !== undefined) releaseBuild(build, writer.memory)
    return null
  },
})

const makeTableProcedures = (
  writer: WriterDependencies,
): Pick<Procedures, 'patch' | 'remove' | 'rollback'> => ({
  patch: (_httpWorker, argument) => writer.lock(argument.name, () => changeSettings(writer, argument)),
  remove: async (_httpWorker, argument) => {
    const number = writer.takeNumber()
    await writer.lock(argument.name, async () => {
      await removeTable(writer, argument)
      writer.buildOrder.note(argument.name, number)
    })
    return null
  },
  rollback: (_httpWorker, argument) => {
    const number = writer.takeNumber()
    return writer.lock(argument.name, async () => {
      const answer = await rollBack(writer, argument)
      writer.buildOrder.note(argument.name, number)
      return answer
    })
  },
})

const makeKeyProcedures = (
  writer: WriterDependencies,
): Pick<Procedures, 'beginKey' | 'recallKey' | 'storeKey' | 'endKey'> => ({
  beginKey: (httpWorker, argument) => {
    const keyId = writer.takeNumber()
    const { isKnown } = writer.storage.changeKeys.begin(
      keyId,
      argument,
      writer.tables.get(argument.resource.name),
    )
    httpWorker.keyIds.add(keyId)
    return { keyId, isKnown }
  },
  recallKey: (_httpWorker, key) => writer.storage.changeKeys.recall(key),
  storeKey: (_httpWorker, { result, ...key }) => {
    const { store, changeKeys } = writer.storage
    store.commit({ keys: changeKeys.describe(key, result) })
    return null
  },
  endKey: (httpWorker, { keyId }) => {
    httpWorker.keyIds.delete(keyId)
    writer.storage.changeKeys.end(keyId)
    return null
  },
})

const makeExportProcedures = (
  writer: WriterDependencies,
): Pick<Procedures, 'beginExport' | 'readPreImages' | 'endExport'> => ({
  beginExport: (httpWorker, { name, version, withState }) => {
    const table = writer.find(name)
    const found = table.versions.get(version) ?? refuse('VERSION_NOT_FOUND', `there is no version ${version}`)
    const exportId = writer.takeNumber()
    const { begun, ...answer } = beginExport(found, table.settings.optimizer, withState)
    httpWorker.exports.set(exportId, begun)
    return { exportId, revision: table.revision, ...answer }
  },
  readPreImages: (httpWorker, { exportId, of, firstRow, rowCount }) => {
    const begun = httpWorker.exports.get(exportId)
    assert(begun !== undefined, 'an export is read between its begin and its end')
    return readPreImages(begun, of, firstRow, rowCount)
  },
  endExport: (httpWorker, { exportId }) => {
    const begun = httpWorker.exports.get(exportId)
    httpWorker.exports.delete(exportId)
    if (begun !== undefined) endExport(begun, writer.memory)
    return null
  },
})
