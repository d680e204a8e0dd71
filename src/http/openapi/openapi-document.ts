import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import type { FastifySchema } from 'fastify'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { version } from '../../version.ts'
import { PROBLEM_MEDIA_TYPE } from '../errors/problem.ts'

/** What any request may be answered. */
const ANYWHERE: readonly ErrorCode[] = [
  'INVALID_REQUEST',
  'INTERNAL',
  'NOT_READY',
  'SHUTTING_DOWN',
  'OVERLOADED',
  'DEADLINE_EXCEEDED',
]
const BODY: readonly ErrorCode[] = ['MALFORMED_BODY', 'UNSUPPORTED_MEDIA_TYPE', 'BODY_TOO_LARGE']
const READ: readonly ErrorCode[] = [
  'TABLE_NOT_FOUND',
  'VERSION_NOT_FOUND',
  'NOT_ACCEPTABLE',
  'PRECONDITION_FAILED',
]
const CHANGE: readonly ErrorCode[] = ['TABLE_NOT_FOUND', 'NOT_ACCEPTABLE', 'PRECONDITION_FAILED', 'DISK_FULL']
const LOOKUP: readonly ErrorCode[] = [
  ...BODY,
  'TABLE_NOT_FOUND',
  'VERSION_NOT_FOUND',
  'NOT_ACCEPTABLE',
  'BATCH_TOO_LARGE',
  'INDEX_OUT_OF_RANGE',
  'SHAPE_MISMATCH',
  'DTYPE_MISMATCH',
  'NON_FINITE',
]
const UPDATE: readonly ErrorCode[] = [
  ...BODY,
  ...CHANGE,
  'IDEMPOTENCY_IN_FLIGHT',
  'IDEMPOTENCY_MISMATCH',
  'BATCH_TOO_LARGE',
  'INDEX_OUT_OF_RANGE',
  'SHAPE_MISMATCH',
  'DTYPE_MISMATCH',
  'NON_FINITE',
  'MEMORY_QUOTA_EXCEEDED',
]

/** Data that becomes a table, or an adapter. */
const DATA: readonly ErrorCode[] = [
  'SHAPE_MISMATCH',
  'DTYPE_MISMATCH',
  'NON_FINITE',
  'DIGEST_MISMATCH',
  'MEMORY_QUOTA_EXCEEDED',
  'DISK_FULL',
]

/** The errors of each route beside those that all have. */
const ROUTE_ERRORS: Readonly<Record<string, readonly ErrorCode[]>> = {
  'GET /v1/tables': ['NOT_ACCEPTABLE'],
  'GET /v1/tables/:table': READ,
  'PUT /v1/tables/:table': [...BODY, 'NOT_ACCEPTABLE', 'PRECONDITION_FAILED', ...DATA],
  'PATCH /v1/tables/:table': [...BODY, ...CHANGE, 'NON_FINITE'],
  'DELETE /v1/tables/:table': ['TABLE_NOT_FOUND', 'PRECONDITION_FAILED', 'DISK_FULL'],
  'GET /v1/tables/:table/data': READ,
  'POST /v1/tables/:table/uploads': [
    ...BODY,
    'NOT_ACCEPTABLE',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
    'DISK_FULL',
  ],
  'GET /v1/tables/:table/uploads': ['NOT_ACCEPTABLE'],
  'GET /v1/tables/:table/uploads/:upload': ['UPLOAD_NOT_FOUND', 'NOT_ACCEPTABLE'],
  'DELETE /v1/tables/:table/uploads/:upload': ['UPLOAD_NOT_FOUND'],
  'PUT /v1/tables/:table/uploads/:upload/parts/:part': [
    ...BODY,
    'UPLOAD_NOT_FOUND',
    'NOT_ACCEPTABLE',
    'DIGEST_MISMATCH',
    'DISK_FULL',
  ],
  'POST /v1/tables/:table/uploads/:upload/commit': [
    'MALFORMED_BODY',
    'UPLOAD_NOT_FOUND',
    'NOT_ACCEPTABLE',
    'IDEMPOTENCY_IN_FLIGHT',
    'PRECONDITION_FAILED',
    ...DATA,
  ],
  'GET /v1/tables/:table/versions': ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND', 'NOT_ACCEPTABLE'],
  'POST /v1/tables/:table/rollback': [...BODY, ...CHANGE, 'VERSION_NOT_FOUND'],
  'GET /v1/aliases': ['NOT_ACCEPTABLE'],
  'GET /v1/aliases/:alias': ['ALIAS_NOT_FOUND', 'NOT_ACCEPTABLE'],
  'PUT /v1/aliases/:alias': [...BODY, 'TABLE_NOT_FOUND', 'VERSION_NOT_FOUND', 'NOT_ACCEPTABLE', 'DISK_FULL'],
  'DELETE /v1/aliases/:alias': ['ALIAS_NOT_FOUND', 'DISK_FULL'],
  'POST /v1/snapshots': ['NOT_ACCEPTABLE', 'DISK_FULL'],
  'GET /v1/tables/:table/rows': ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND', 'NOT_ACCEPTABLE', 'BATCH_TOO_LARGE'],
  'POST /v1/tables/:table/lookup': LOOKUP,
  'POST /v1/lookup': LOOKUP,
  'POST /v1/tables/:table/attend': LOOKUP.filter((code) => code !== 'INDEX_OUT_OF_RANGE'),
  'POST /v1/tables/:table/gradients': UPDATE,
  'POST /v1/tables/:table/rows': UPDATE,
  'GET /v1/tables/:table/lora': ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND', 'NOT_ACCEPTABLE'],
  'PUT /v1/tables/:table/lora': [...BODY, ...CHANGE, ...DATA],
  'DELETE /v1/tables/:table/lora': ['TABLE_NOT_FOUND', 'PRECONDITION_FAILED', 'DISK_FULL'],
  'POST /v1/tables/:table/lora/merge': [...CHANGE, 'NON_FINITE', 'MEMORY_QUOTA_EXCEEDED'],
  'GET /v1/limits': ['NOT_ACCEPTABLE'],
}

const DESCRIPTION = `Embedding tables over HTTP: upload a matrix, look rows up in batches, push gradients back.

Numbers in binary bodies are little-endian, row-major, without padding. The type of the answer is chosen by \`Accept\`; JSON without one.
Every error is \`${PROBLEM_MEDIA_TYPE}\` with a \`code\` from [one table](/docs/errors). \`X-Request-Timeout-Ms\` is a deadline: what cannot be begun
before it is answered 504. \`X-Request-Id\`, when it is plain text of up to 128 characters, is the id in answers and log lines.

The examples can be run here: PUT makes the table \`words\` that the others use.`

/** Options of @fastify/swagger: the document is what the routes say, with the parts that all of them share. */
export const documentOptions: FastifyDynamicSwaggerOptions = {
  openapi: {
    // QUERY has been an operation since 3.2.
    openapi: '3.2.0',
    info: {
      title: 'gatherd',
      version,
      description: DESCRIPTION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
    },
    servers: [{ url: '/' }],
    tags: [
      { name: 'tables', description: 'Make, describe, change and download tables' },
      { name: 'uploads', description: 'Tables in parts, over networks that break' },
      { name: 'lookup', description: 'Rows for ids' },
      { name: 'versions', description: 'Go back to earlier data, and name what is read' },
      { name: 'updates', description: 'Gradients and values into rows' },
      { name: 'lora', description: 'Low-rank adapters, added to rows as they are looked up' },
      { name: 'service', description: 'Health, limits, snapshots' },
    ],
  },
  refResolver: {
    buildLocalReference: (json, _baseUri, _fragment, index) => String(json.$id ?? `schema-${index}`),
  },
  transform: ({ schema, url, route }) => ({
    schema: describeFully(schema ?? {}, methodsOf(route.method), url),
    url,
  }),
}

type Described = FastifySchema & {
  tags?: readonly string[]
  consumes?: readonly string[]
  produces?: readonly string[]
  hide?: boolean
}

const methodsOf = (method: string | readonly string[]): readonly string[] =>
  typeof method === 'string' ? [method] : method

/** Adds what is the same for all routes of a kind: media types other than JSON, headers, errors. */
const describeFully = (schema: Described, methods: readonly string[], url: string): FastifySchema => {
  if (schema.tags === undefined || methods.includes('HEAD')) return { ...schema, hide: true } as FastifySchema
  const {
    body,
    consumes = ['application/json'],
    produces = ['application/json'],
    response,
    querystring,
    ...rest
  } = schema
  const full: Record<string, unknown> = { ...rest, headers: requestHeaders(methods, url) }
  if (querystring !== undefined) full.querystring = withoutPresets(querystring as QuerySchema)
  if (body !== undefined) full.body = { content: contentOf(consumes, body) }
  const answers = Object.entries((response ?? {}) as Record<string, { type?: string }>).map(
    ([status, answer]) => [
      status,
      answer.type === 'null'
        ? answer
        : {
            description: 'Done',
            headers: responseHeaders(url, produces),
            content: contentOf(produces, answer),
          },
    ],
  )
  full.response = {
    ...Object.fromEntries(answers),
    ...errorResponses(ROUTE_ERRORS[`${methods[0]} ${url}`] ?? []),
  }
  return full
}

interface QuerySchema {
  properties: Record<string, { default?: unknown; examples?: unknown[]; description?: string }>
}

/** Swagger UI sends defaults and examples of query parameters unasked, where a body of another type has no place for them: tell them in words. */
const withoutPresets = (schema: QuerySchema): QuerySchema => ({
  ...schema,
  properties: Object.fromEntries(
    Object.entries(schema.properties).map(([name, { default: preset, examples, description, ...rest }]) => {
      const sentences = [
        description,
        preset === undefined ? undefined : `Default: ${preset}`,
        examples && `For example: ${examples.join(' or ')}`,
      ]
      return [
        name,
        { ...rest, description: sentences.filter((sentence) => sentence !== undefined).join('. ') },
      ]
    }),
  ),
})

/** The same schema is shown for JSON; other types are bytes. */
const contentOf = (types: readonly string[], json: unknown): Record<string, { schema: unknown }> =>
  Object.fromEntries(
    types.map((type) => [
      type,
      { schema: type === 'application/json' ? json : { type: 'string', format: 'binary' } },
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

/** Whether a route is about an upload in parts and not about the table. */
const isStaging = (url: string): boolean => url.includes('/uploads') && !url.endsWith('/commit')

const requestHeaders = (methods: readonly string[], url: string): object => {
  const properties: Record<string, object> = {}
  const isTable = url.startsWith('/v1/tables/')
  const isPost = methods.includes('POST')
  const isChange =
    methods.some((method) => ['PUT', 'PATCH', 'DELETE'].includes(method)) ||
    (isPost && /\/(gradients|rows|merge|commit|rollback)$/.test(url))
  if ((isChange && isTable && !isStaging(url)) || url.endsWith('/data') || url.endsWith(':table')) {
    properties['If-Match'] = text('ETag that the table must have, or a version in quotes, or *')
    properties['If-None-Match'] = text('ETag that the table must not have; * when it must not exist')
  }
  if (isPost && /\/(gradients|rows)$/.test(url)) {
    properties['Idempotency-Key'] = text(
      `1 to ${LIMITS.idempotencyKeyLengthMax} visible ASCII characters, bare or in double quotes: the same key and request again answers the first result`,
    )
  }
  if (isTable && methods.includes('PUT'))
    properties['Content-Digest'] = text('sha-256=:<base64>: of the body, verified (RFC 9530)')
  if (url.startsWith('/v1/'))
    properties['X-Request-Timeout-Ms'] = text('Milliseconds that the client will wait')
  return { type: 'object', properties }
}

const responseHeaders = (url: string, produces: readonly string[]): Record<string, object> | undefined => {
  if (!url.startsWith('/v1/tables/') || isStaging(url) || url.endsWith('/versions')) return undefined
  const headers: Record<string, object> = {
    ETag: text('"<version>-<sequence>", strong'),
    'X-Table-Version': text('Version of the data'),
    'X-Table-Sequence': text('Committed updates of that version'),
  }
  if (produces.length > 1) {
    headers['X-Shape'] = text('Shape of a binary answer', ['2,3,64'])
    headers['X-Dtype'] = text('Type of its numbers', ['float32'])
  }
  return headers
}
