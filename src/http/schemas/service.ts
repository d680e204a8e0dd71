/** The schemas of health, snapshots, limits and the service itself. */
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
      sequence: Type.Integer({ description: 'The snapshot holds every update up to this one' }),
      bytes: Type.Integer({ description: 'Bytes of the file' }),
    }),
    { description: 'The snapshots written; empty when nothing had changed' },
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
