/**
 * The writer's procedures that set and delete aliases. An alias of one version holds it: the version stays
 * beyond `keep_versions`, within the memory quota, until the alias is deleted or points elsewhere.
 */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { CatalogChange } from '../../storage/catalog-rows.ts'
import { findHeld } from '../../tables/describe.ts'
import type { AliasRecord, HeldVersions } from '../../tables/handles.ts'
import type { WriterDependencies } from '../dependencies.ts'
import type { ChangeKey, WriterCalls } from '../protocol.ts'
import { publishTable } from './publish.ts'
import type { TableModel } from './table-model.ts'
import { toCatalogChanges } from './to-catalog.ts'
import { planHeld, type TableChange } from './versions.ts'

type Name = 'putAlias' | 'removeAlias'
type AliasProcedures = {
  [One in Name]: (
    httpWorker: unknown,
    argument: WriterCalls[One]['argument'],
  ) => Promise<WriterCalls[One]['answer']>
}

/** Refuses (INVALID_REQUEST) a table name that is an alias, since requests could not tell the two apart. */
export const refuseAlias = ({ aliases }: WriterDependencies, name: string): void => {
  if (aliases.has(name))
    refuse(
      'INVALID_REQUEST',
      `${JSON.stringify(name)} is an alias; delete it first, or choose another name for the table`,
    )
}

/** The versions of a table that aliases name, among those that it has. */
export const heldVersions = (
  aliases: Iterable<AliasRecord>,
  name: string,
  versions: ReadonlyMap<number, unknown>,
): HeldVersions => new Map([...findHeld(aliases, name)].filter(([version]) => versions.has(version)))

/** Makes the procedures of aliases. */
export const makeAliasProcedures = (writer: WriterDependencies): AliasProcedures => ({
  putAlias: async (_httpWorker, { key, ...record }) => {
    const { alias, table, version } = record
    if (writer.tables.has(alias))
      refuse('INVALID_REQUEST', `${JSON.stringify(alias)} is a table; an alias needs another name`)
    const target = writer.find(table)
    if (version !== null && !target.versions.has(version)) {
      refuse('VERSION_NOT_FOUND', `table ${JSON.stringify(table)} has no version ${version}`)
    }
    const created = !writer.aliases.has(alias)
    if (created && writer.aliases.size >= LIMITS.aliasCountMax) {
      refuse(
        'INVALID_REQUEST',
        `there are ${LIMITS.aliasCountMax} aliases already, the most this service holds`,
      )
    }
    const after = new Map([...writer.aliases, [alias, record]])
    await changeAliases(writer, alias, after, { kind: 'put-alias', alias: record }, key, { created })
    return { created }
  },
  removeAlias: async (_httpWorker, { alias, key }) => {
    if (!writer.aliases.has(alias)) refuse('ALIAS_NOT_FOUND', `there is no alias ${JSON.stringify(alias)}`)
    const after = new Map(writer.aliases)
    after.delete(alias)
    await changeAliases(writer, alias, after, { kind: 'delete-alias', alias }, key, null)
    return null
  },
})

/**
 * Commits a change of one alias together with the tables whose versions it holds or gives up. Nothing else
 * runs between plan and commit, so it needs no lock of a table: an upload that is being written plans again.
 */
const changeAliases = async (
  writer: WriterDependencies,
  alias: string,
  after: ReadonlyMap<string, AliasRecord>,
  change: CatalogChange,
  key: ChangeKey | undefined,
  result: unknown,
): Promise<void> => {
  const { store, changeKeys } = writer.storage
  const named = new Set([writer.aliases.get(alias)?.table, after.get(alias)?.table])
  const changed = [...named]
    .flatMap((name) => (name === undefined ? [] : (writer.tables.get(name) ?? [])))
    .flatMap((table): TableChange[] => {
      const held = heldVersions(after.values(), table.name, table.versions)
      return isEqual(held, table.held) ? [] : [planHeld(table, held)]
    })
  store.commit({
    changes: [change, ...changed.flatMap(toCatalogChanges)],
    keys: changeKeys.describe(key, result),
  })
  const record = after.get(alias)
  if (record === undefined) writer.aliases.delete(alias)
  else writer.aliases.set(alias, record)
  for (const { table } of changed) writer.tables.set(table.name, table)
  // Readers learn of the alias first, so that it never names a version that is gone.
  await Promise.all([
    writer.httpWorkers.publishAliases(),
    ...changed.map(({ table, retired }: { table: TableModel; retired: TableChange['retired'] }) =>
      publishTable(writer, table, retired),
    ),
  ])
}

const isEqual = (one: HeldVersions, other: HeldVersions): boolean =>
  JSON.stringify([...one]) === JSON.stringify([...other])
