/** The writer's procedures that set and delete aliases. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { WriterDependencies } from '../dependencies.ts'
import type { WriterCalls } from '../protocol.ts'

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

/** Makes the procedures of aliases. */
export const makeAliasProcedures = (writer: WriterDependencies): AliasProcedures => ({
  putAlias: async (_httpWorker, { alias, table, version }) => {
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
    writer.storage.store.commit({ changes: [{ kind: 'put-alias', alias: { alias, table, version } }] })
    writer.aliases.set(alias, { alias, table, version })
    await writer.httpWorkers.publishAliases()
    return { created }
  },
  removeAlias: async (_httpWorker, { alias }) => {
    if (!writer.aliases.has(alias)) refuse('ALIAS_NOT_FOUND', `there is no alias ${JSON.stringify(alias)}`)
    writer.storage.store.commit({ changes: [{ kind: 'delete-alias', alias }] })
    writer.aliases.delete(alias)
    await writer.httpWorkers.publishAliases()
    return null
  },
})
