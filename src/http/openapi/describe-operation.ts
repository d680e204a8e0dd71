/** Makes the OpenAPI operation of a route from its declaration. */
import type { FastifySchema } from 'fastify'
import type { TSchema } from 'typebox'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { describesItself, findFormat, RAW } from '../../formats/format.ts'
import { type AnswerFormat, formatsOf, type Route } from '../define-route.ts'
import { PROBLEM_MEDIA_TYPE } from '../errors/problem.ts'
import { FORMAT_MEDIA_TYPES } from '../negotiate.ts'

/** The errors that any request may get. */
const ANYWHERE: readonly ErrorCode[] = [
  'INVALID_REQUEST',
  'INTERNAL',
  'NOT_READY',
  'SHUTTING_DOWN',
  'OVERLOADED',
  'DEADLINE_EXCEEDED',
]

/** The operation of a route, in the terms of @fastify/swagger. */
export const describeOperation = (route: Route): FastifySchema => {
  const { tag, operationId, summary, description, params, query, bodySchema, response, scope } = route
  const consumes = formatsOf(route).map(mediaTypeOf)
  const produces = route.answers.map(mediaTypeOf)
  const answers = Object.entries(response).map(([status, answer]) => [
    status,
    isEmpty(answer)
      ? answer
      : { description: 'Done', headers: responseHeaders(route), content: contentOf(produces, answer) },
  ])
  const operation = {
    tags: [tag],
    operationId,
    summary,
    ...(description !== undefined && { description }),
    ...(params !== undefined && { params }),
    headers: requestHeaders(route),
    ...(query !== undefined && { querystring: withoutPresets(query as QuerySchema) }),
    ...(bodySchema !== undefined && {
      body: { content: contentOf(consumes.length > 0 ? consumes : [RAW.mediaType], bodySchema) },
    }),
    response: { ...Object.fromEntries(answers), ...errorResponses(errorsOf(route)) },
    'x-scope': scope,
  }
  return operation as FastifySchema
}

const mediaTypeOf = (format: AnswerFormat): string =>
  format === 'html' ? 'text/html' : FORMAT_MEDIA_TYPES[format]

const isEmpty = (answer: TSchema): boolean => (answer as { type?: string }).type === 'null'

/** The errors of a route: those that follow from its declaration, and those that it names. */
const errorsOf = (route: Route): ErrorCode[] => [
  ...(route.accepts === undefined || route.accepts === 'nothing'
    ? []
    : (['MALFORMED_BODY', 'UNSUPPORTED_MEDIA_TYPE', 'BODY_TOO_LARGE'] as const)),
  ...(route.answers.length > 0 && route.negotiation !== 'none' ? (['NOT_ACCEPTABLE'] as const) : []),
  ...(route.conditional ? (['PRECONDITION_FAILED'] as const) : []),
  ...(readsDigest(route) ? (['DIGEST_MISMATCH'] as const) : []),
  ...(route.idempotent ? (['IDEMPOTENCY_IN_FLIGHT', 'IDEMPOTENCY_MISMATCH'] as const) : []),
  ...route.errors,
]

interface QuerySchema {
  properties: Record<
    string,
    { title?: string; default?: unknown; examples?: unknown[]; description?: string }
  >
}

/**
 * Moves the defaults and examples of query parameters into their descriptions. Swagger UI would send them
 * although the reader did not choose them, and with a body of another type they are refused.
 */
const withoutPresets = (schema: QuerySchema): QuerySchema => ({
  ...schema,
  properties: Object.fromEntries(
    Object.entries(schema.properties).map(
      ([name, { title: _title, default: preset, examples, description, ...rest }]) => {
        const sentences = [
          description,
          preset === undefined ? undefined : `Default: ${preset}`,
          examples && `For example: ${examples.join(' or ')}`,
        ]
        return [
          name,
          { ...rest, description: sentences.filter((sentence) => sentence !== undefined).join('. ') },
        ]
      },
    ),
  ),
})

/** Shows the schema for JSON; other types are bytes. */
const contentOf = (types: readonly string[], json: unknown): Record<string, { schema: unknown }> =>
  Object.fromEntries(
    types.map((type) => [
      type,
      { schema: type === FORMAT_MEDIA_TYPES.json ? json : { type: 'string', format: 'binary' } },
    ]),
  )

const errorResponses = (codes: readonly ErrorCode[]): Record<string, object> => {
  const byStatus = Map.groupBy(new Set([...codes, ...ANYWHERE]), (code) => ERRORS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, listed]) => [
      status,
      {
        description: listed.map((code) => `\`${code}\`: ${ERRORS[code].title}`).join('. '),
        content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: 'Problem#' } } },
      },
    ]),
  )
}

const text = (description: string, examples?: string[]) => ({
  type: 'string',
  description,
  ...(examples && { examples }),
})

/** Whether the route compares its body with a `Content-Digest`, as every route with a body of data does. */
const readsDigest = ({ verifiesDigest = false, accepts }: Route): boolean =>
  verifiesDigest || (typeof accepts === 'object' && (accepts.whole ?? []).length > 0)

/** The request headers that a route reads, as parameters. */
const requestHeaders = (route: Route): object => {
  const { conditional, idempotent, scope } = route
  const properties: Record<string, object> = {}
  if (conditional) {
    properties['If-Match'] = text('ETag that the table must have, or a version in quotes, or *')
    properties['If-None-Match'] = text('ETag that the table must not have; * when it must not exist')
  }
  if (idempotent) {
    properties['Idempotency-Key'] = text(
      `1 to ${LIMITS.idempotencyKeyLengthMax} visible ASCII characters, bare or in double quotes: ` +
        'the same request with the same key gets the first result again',
    )
  }
  if (readsDigest(route))
    properties['Content-Digest'] = text('`sha-256=:<base64>:` of the body, verified (RFC 9530)')
  // Every route refuses a malformed X-Request-Timeout-Ms, but probes, which need no key, have no use for it.
  if (scope !== 'open') properties['X-Request-Timeout-Ms'] = text('Milliseconds that the client will wait')
  return { type: 'object', properties }
}

const responseHeaders = (route: Route): Record<string, object> | undefined => {
  const { answersState, answers } = route
  if (!answersState) return undefined
  const headers: Record<string, object> = {
    ETag: text(
      'Strong: `"<version>-<sequence>"` of rows, `"<version>-<sequence>-<revision>"` of a description, ' +
        '`"<version>-<sequence>.<format>"` of data',
    ),
    'X-Table-Version': text('Version of the data'),
    'X-Table-Sequence': text('Committed updates of that version'),
  }
  if (answers.length > 1) {
    headers['X-Shape'] = text('Shape of a binary answer', ['2,3,64'])
    headers['X-Dtype'] = text('Type of its numbers', ['float32'])
    if (formatsOf(route).some((format) => format !== 'json' && !describesItself(findFormat(format))))
      headers['X-Index-Dtype'] = text('Type as which the ids of an octet-stream body were read', ['int64'])
  }
  return headers
}
