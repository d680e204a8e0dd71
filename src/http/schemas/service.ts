/** The schemas of health, snapshots, limits and the service itself. */
import { Type } from 'typebox'
import { ERRORS } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { Choice, TableName, NamedObject } from './scalars.ts'

export const HealthAnswer = NamedObject('Health', {
  status: Choice(['alive', 'ready', 'degraded']),
  reason: Type.Optional(Type.String()),
})

export const SnapshotsAnswer = NamedObject('SnapshotList', {
  snapshots: Type.Array(
    NamedObject('Snapshot', {
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
  { title: 'Limits' },
)

export const ServiceAnswer = NamedObject('Service', {
  name: Type.String(),
  version: Type.String(),
  ready: Type.Boolean(),
  links: Type.Record(Type.String(), Type.String()),
  tables: Type.Array(Type.String(), { description: 'Names, at most 100' }),
})

/** The body of every error, which errors/problem.ts makes. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'Place of the code on the page of errors' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.Enum(Object.keys(ERRORS), { type: 'string' }),
    detail: Type.String({ description: 'The error and its place, for people' }),
    instance: Type.String({ description: 'The request id, as in X-Request-Id and in the log' }),
    errors: Type.Optional(
      Type.Array(
        NamedObject('ProblemPlace', {
          pointer: Type.String({ description: 'JSON pointer (RFC 6901)' }),
          detail: Type.String(),
        }),
        {
          description: `The first places of the error, at most ${LIMITS.errorPlacesMax}`,
        },
      ),
    ),
    retryable: Type.Boolean({ description: 'Whether the same request may succeed later' }),
  },
  { $id: 'Problem', description: 'An error (RFC 9457)' },
)
