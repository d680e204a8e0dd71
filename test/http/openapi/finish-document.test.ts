import { describe, expect, test } from 'vitest'
import {
  finishDocument,
  type OpenApiDocument,
  toOpenApi31,
} from '../../../src/http/openapi/finish-document.ts'

const answering = (schema: object): Record<string, { operationId?: string }> => ({
  get: { operationId: 'getOne', ...{ responses: { 200: schema } } },
})

const documentOf = (...schemas: object[]): OpenApiDocument => ({
  openapi: '3.2.0',
  paths: Object.fromEntries(schemas.map((schema, i) => [`/${i}`, answering(schema)])),
  components: { schemas: { Problem: { type: 'object', properties: { title: { type: 'string' } } } } },
})

describe('A schema with a title', () => {
  test('stands once under components, also when it is within another one', () => {
    const row = { title: 'Row', type: 'array' }
    const rows = { title: 'Rows', type: 'object', properties: { rows: row } }
    const { components, paths } = finishDocument(documentOf(rows, row, rows))
    expect(components?.schemas).toEqual({
      Problem: { type: 'object', properties: { title: { type: 'string' } } },
      Row: row,
      Rows: { ...rows, properties: { rows: { $ref: '#/components/schemas/Row' } } },
    })
    expect(paths?.['/2']).toEqual(answering({ $ref: '#/components/schemas/Rows' }))
  })

  test('has a title that no other schema has', () => {
    const clash = () =>
      finishDocument(documentOf({ title: 'A', type: 'string' }, { title: 'A', type: 'null' }))
    expect(clash).toThrow(/two schemas of the document have the title A/)
  })

  test('is no value of a client that has a member title', () => {
    const schema = { type: 'object', examples: [{ title: 'Dune' }], default: { title: 'Dune' } }
    expect(finishDocument(documentOf(schema)).paths?.['/0']).toEqual(answering(schema))
  })
})

test('A route with QUERY has two ids, and 3.1 has only the operation by POST', () => {
  const both = { post: { operationId: 'lookupRows' }, query: { operationId: 'lookupRows' } }
  const document = finishDocument({ openapi: '3.2.0', paths: { '/lookup': both } })
  expect(document.paths?.['/lookup']).toEqual({
    post: { operationId: 'lookupRows' },
    query: { operationId: 'lookupRowsByQuery' },
  })
  expect(toOpenApi31(document)).toMatchObject({ openapi: '3.1.1' })
  expect(toOpenApi31(document).paths).toEqual({ '/lookup': { post: { operationId: 'lookupRows' } } })
})
