import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { makeAliasProcedures, refuseAlias } from './lifecycle/aliases.ts'
import { changeSettings, commitBuild, removeTable, rollBack } from './lifecycle/changes.ts'
import { beginExport, endExport, readPreimages } from './upkeep/exports.ts'
import type { Front } from './http-worker-links.ts'
import { makeAdapterProcedures } from './lifecycle/adapter-procedures.ts'
import type { KeeperParts } from './dependencies.ts'
import type { KeeperCalls, KeeperProcedure, MailedUpdate } from './protocol.ts'
import { beginBuild, releaseBuild, toRecord } from './lifecycle/table-model.ts'
import type { ShownUpdate } from './updates/update.ts'

/** A procedure's implementation for one front. */
export type Procedures = {
  [Name in KeeperProcedure]: (
    front: Front,
    argument: KeeperCalls[Name]['argument'],
  ) => KeeperCalls[Name]['answer'] | Promise<KeeperCalls[Name]['answer']>
}

/** What fronts can call. */
export const makeProcedures = (keeper: KeeperParts): Procedures => ({
  sync: async () => {
    await keeper.loaded
    return null
  },
  update: (front, argument) => keeper.opened.turns.submit('places' in argument ? showUpdate(front, argument) : argument),
  recall: (_front, { name, key }) => keeper.opened.keys.recall(keeper.find(name).id, key),
  snapshot: async () => ({ snapshots: await keeper.opened.snapshots.takeStale() }),
  ...makeBuildProcedures(keeper),
  ...makeTableProcedures(keeper),
  ...makeAliasProcedures(keeper),
  ...makeAdapterProcedures({
    memory: () => keeper.memory,
    store: () => keeper.opened.store,
    forgetting: () => keeper.opened.forgetting,
    takeNumber: () => keeper.takeNumber(),
    find: (name) => keeper.find(name),
    lock: (name, work) => keeper.lock(name, work),
    publish: (name) => keeper.fronts.publish(name, toRecord(keeper.find(name))),
    retire: (key, reservedBytes) => new Promise((resolve) => keeper.fronts.retire(key, reservedBytes, resolve)),
  }),
  ...makeExportProcedures(keeper),
})

const showUpdate = ({ inbox }: Front, { places, ...head }: MailedUpdate): ShownUpdate => {
  assert(inbox !== null, 'a front shows its memory before it names places there')
  return { ...head, source: { ...places, inbox } }
}

const makeBuildProcedures = (keeper: KeeperParts): Pick<Procedures, 'begin' | 'commit' | 'abort'> => ({
  begin: (front, argument) => {
    refuseAlias(keeper, argument.name)
    const buildId = keeper.takeNumber()
    const build = beginBuild(keeper.tables, keeper.memory, `v${buildId}`, argument, Date.now())
    front.builds.set(buildId, build)
    return { buildId, segments: build.handle.segments, state: build.state?.rows.handle.segments ?? null }
  },
  commit: async (front, { buildId, step = 0 }) => {
    const build = front.builds.get(buildId) ?? refuse('PRECONDITION_FAILED', 'the upload was given up')
    // From here on the build is this procedure's, whatever becomes of the front.
    front.builds.delete(buildId)
    return keeper.lock(build.arguments.name, () => commitBuild(keeper, build, step))
  },
  abort: (front, { buildId }) => {
    const build = front.builds.get(buildId)
    front.builds.delete(buildId)
    if (build !== undefined) releaseBuild(build, keeper.memory)
    return null
  },
})

const makeTableProcedures = (keeper: KeeperParts): Pick<Procedures, 'patch' | 'remove' | 'rollback'> => ({
  patch: async (_front, argument) => {
    await keeper.lock(argument.name, () => changeSettings(keeper, argument))
    return null
  },
  remove: async (_front, { name, precondition }) => {
    await keeper.lock(name, () => removeTable(keeper, name, precondition))
    return null
  },
  rollback: async (_front, argument) => {
    await keeper.lock(argument.name, () => rollBack(keeper, argument))
    return null
  },
})

const makeExportProcedures = (keeper: KeeperParts): Pick<Procedures, 'beginExport' | 'readPreimages' | 'endExport'> => ({
  beginExport: (front, { name, version, withState }) => {
    const table = keeper.find(name)
    const found = table.versions.get(version) ?? refuse('VERSION_NOT_FOUND', `there is no version ${version}`)
    const exportId = keeper.takeNumber()
    const { begun, ...answer } = beginExport(found, table.settings.optimizer, withState)
    front.exports.set(exportId, begun)
    return { exportId, ...answer }
  },
  readPreimages: (front, { exportId, of, firstRow, rowCount }) => {
    const begun = front.exports.get(exportId)
    assert(begun !== undefined, 'an export is read between its begin and its end')
    return readPreimages(begun, of, firstRow, rowCount)
  },
  endExport: (front, { exportId }) => {
    const begun = front.exports.get(exportId)
    front.exports.delete(exportId)
    if (begun !== undefined) endExport(begun, keeper.memory)
    return null
  },
})
