/** The schema of error responses. */
import { Type } from 'typebox'
import { ERRORS } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'

/** The body of every error response. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({ description: 'Where the code is explained' }),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.Enum(Object.keys(ERRORS), { type: 'string' }),
    detail: Type.String({ description: 'What is wrong and where, for people' }),
    instance: Type.String({ description: 'The request id, as in X-Request-Id and in the log' }),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          pointer: Type.String({ description: 'JSON pointer (RFC 6901)' }),
          detail: Type.String(),
        }),
        {
          description: `The places, at most ${LIMITS.errorPlacesMax}`,
        },
      ),
    ),
    retryable: Type.Boolean({ description: 'Whether the same request may succeed later' }),
  },
  { $id: 'Problem', description: 'An error (RFC 9457)' },
)
