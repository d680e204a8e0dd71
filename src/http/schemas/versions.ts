/** The schemas of versions, rollback and aliases. */
import { Type } from 'typebox'
import { CLOSED, NamedObject, Replayed, TABLE_NAME_PATTERN, TableName } from './scalars.ts'

const VersionNumber = Type.Integer({
  minimum: 1,
  maximum: Number.MAX_SAFE_INTEGER,
  description: 'A version that is still readable',
})

export const VersionsAnswer = NamedObject('VersionList', {
  versions: Type.Array(
    NamedObject('TableVersion', {
      version: Type.Integer(),
      created_at: Type.String({ format: 'date-time' }),
      bytes: Type.Integer({ description: 'Bytes of all rows' }),
      current: Type.Boolean({ description: 'Whether lookups and updates use this version by default' }),
      held_by: Type.Optional(
        Type.Array(TableName, {
          description: 'The aliases that name this version, which stays as long as one does',
        }),
      ),
    }),
    { description: 'The readable versions, ascending' },
  ),
})

export const RollbackBody = Type.Object(
  { version: VersionNumber },
  { ...CLOSED, title: 'RollbackRequest', examples: [{ version: 1 }] },
)

const AliasName = Type.String({
  pattern: TABLE_NAME_PATTERN,
  description: 'Name of an alias, which no table may have',
  examples: ['production'],
})

export const AliasParams = Type.Object({ alias: AliasName }, CLOSED)

export const AliasBody = Type.Object(
  { table: TableName, version: Type.Optional(VersionNumber) },
  { ...CLOSED, title: 'AliasTarget', examples: [{ table: 'words', version: 1 }, { table: 'words' }] },
)

export const AliasAnswer = NamedObject('Alias', {
  alias: AliasName,
  table: TableName,
  version: Type.Union([Type.Integer(), Type.Null()], {
    description: 'null: the alias follows the current version',
  }),
  replayed: Replayed,
})

export const AliasesAnswer = NamedObject('AliasList', {
  aliases: Type.Array(AliasAnswer, { description: 'All aliases, ordered by name' }),
})
