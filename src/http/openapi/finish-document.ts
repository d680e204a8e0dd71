/**
 * Finishes the OpenAPI document that @fastify/swagger collects: gives schemas with a title a name under
 * components, and each operation an id of its own. Generators of clients name their types and functions
 * after both.
 */
import { isDeepStrictEqual } from 'node:util'
import { assert } from '../../core/assert.ts'

type Json = Record<string, unknown>

/** The document, as far as it is read here. */
export interface OpenApiDocument {
  openapi: string
  paths?: Record<string, Record<string, { operationId?: string }>>
  components?: { schemas?: Record<string, Json> }
}

const SCHEMAS = '#/components/schemas/'

/** Members that hold values of clients, in which a `title` is no name of a schema. */
const VALUES = new Set(['example', 'examples', 'default', 'enum', 'const'])

/** Returns the document with named schemas and distinct ids of operations. */
export const finishDocument = <Document extends OpenApiDocument>(document: Document): Document => {
  const named: Record<string, Json> = {}
  const name = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(name)
    if (typeof value !== 'object' || value === null) return value
    const members = Object.entries(value).map(([key, member]) => [
      key,
      VALUES.has(key) ? member : name(member),
    ])
    const schema = Object.fromEntries(members) as Json
    const { title } = schema
    if (typeof title !== 'string') return schema
    assert(
      named[title] === undefined || isDeepStrictEqual(named[title], schema),
      `two schemas of the document have the title ${title}`,
    )
    named[title] = schema
    return { $ref: `${SCHEMAS}${title}` }
  }
  const collected = Object.entries(document.components?.schemas ?? {}).map(([id, schema]) => [
    id,
    name(schema),
  ])
  const paths = name(document.paths ?? {}) as NonNullable<OpenApiDocument['paths']>
  for (const { query } of Object.values(paths)) {
    // A route answers POST and QUERY alike, and the ids of a document are distinct.
    if (query !== undefined) query.operationId = `${query.operationId}ByQuery`
  }
  const schemas = { ...Object.fromEntries(collected), ...sortByName(named) }
  return { ...document, components: { ...document.components, schemas }, paths }
}

const sortByName = (schemas: Record<string, Json>): Record<string, Json> =>
  Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1)))

/** Returns the document as OpenAPI 3.1, which has no QUERY; each such operation is one by POST, too. */
export const toOpenApi31 = <Document extends OpenApiDocument>(document: Document): Document => ({
  ...document,
  openapi: '3.1.1',
  paths: Object.fromEntries(
    Object.entries(document.paths ?? {}).map(([path, { query: _query, ...operations }]) => [
      path,
      operations,
    ]),
  ),
})
