import { Type } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import { Choice, TableName } from './scalars.ts'

export const HealthAnswer = Type.Object({
  status: Choice(['alive', 'ready', 'degraded']),
  reason: Type.Optional(Type.String()),
})

export const SnapshotsAnswer = Type.Object({
  snapshots: Type.Array(
    Type.Object({
      table: TableName,
      version: Type.Integer(),
      sequence: Type.Integer({ description: 'Every update through this one is in it' }),
      bytes: Type.Integer({ description: 'Of the file' }),
    }),
    { description: 'Those that were written; none when nothing had changed' },
  ),
})

export const LimitsAnswer = Type.Object(
  Object.fromEntries(
    Object.entries(LIMITS).map(([name, value]) => [name, Type.Integer({ examples: [value] })]),
  ),
)

export const ServiceAnswer = Type.Object({
  name: Type.String(),
  version: Type.String(),
  ready: Type.Boolean(),
  links: Type.Record(Type.String(), Type.String()),
  tables: Type.Array(Type.String(), { description: 'Names, at most 100' }),
})
