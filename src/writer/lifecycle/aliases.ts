import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { KeeperParts } from '../dependencies.ts'
import type { KeeperCalls } from '../protocol.ts'

type Name = 'putAlias' | 'removeAlias'
type AliasProcedures = {
  [One in Name]: (front: unknown, argument: KeeperCalls[One]['argument']) => Promise<KeeperCalls[One]['answer']>
}

/** A table and an alias of one name could not be told apart: refuses INVALID_REQUEST. */
export const refuseAlias = ({ aliases }: KeeperParts, name: string): void => {
  if (aliases.has(name))
    refuse('INVALID_REQUEST', `${JSON.stringify(name)} is an alias; delete it first, or choose another name for the table`)
}

/** The keeper's procedures of aliases. */
export const makeAliasProcedures = (keeper: KeeperParts): AliasProcedures => ({
  putAlias: async (_front, { alias, table, version }) => {
    if (keeper.tables.has(alias)) refuse('INVALID_REQUEST', `${JSON.stringify(alias)} is a table; an alias needs another name`)
    const target = keeper.find(table)
    if (version !== null && !target.versions.has(version)) {
      refuse('VERSION_NOT_FOUND', `table ${JSON.stringify(table)} has no version ${version}`)
    }
    const created = !keeper.aliases.has(alias)
    if (created && keeper.aliases.size >= LIMITS.aliasCountMax) {
      refuse('INVALID_REQUEST', `there are ${LIMITS.aliasCountMax} aliases already, the most this service holds`)
    }
    keeper.opened.store.commit({ changes: [{ kind: 'put-alias', alias: { alias, table, version } }] })
    keeper.aliases.set(alias, { alias, table, version })
    await keeper.fronts.publishAliases()
    return { created }
  },
  removeAlias: async (_front, { alias }) => {
    if (!keeper.aliases.has(alias)) refuse('ALIAS_NOT_FOUND', `there is no alias ${JSON.stringify(alias)}`)
    keeper.opened.store.commit({ changes: [{ kind: 'delete-alias', alias }] })
    keeper.aliases.delete(alias)
    await keeper.fronts.publishAliases()
    return null
  },
})
