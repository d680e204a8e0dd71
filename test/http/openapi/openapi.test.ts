import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import Schema from 'typebox/schema'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { nameOrigin } from '../../../src/http/openapi/openapi-document.ts'
import { DOCUMENTS_FOLDER, renderDocuments } from '../../../src/http/openapi/write-openapi.ts'
import { type Service, startService } from '../../helpers/service.ts'

type Json = Record<string, unknown>
interface Operation {
  operationId?: string
  summary?: string
  tags?: string[]
  description?: string
  'x-scope'?: string
  parameters?: { in: string; name: string; schema: Json }[]
  requestBody?: {
    content: Record<string, { schema: Json; example?: Json; examples?: Record<string, { value: Json }> }>
  }
  responses: Record<string, { description: string; content?: Record<string, { schema: Json }> }>
}
interface Document {
  openapi: string
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, Json> }
}

let service: Service
let texts: Record<string, string>
let text: string
let document: Document
beforeAll(async () => {
  service = await startService()
  texts = await renderDocuments()
  text = texts['openapi.json']
  document = JSON.parse(text)
})
afterAll(() => service.close())

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )

test('The committed documents equal those generated from the routes (npm run openapi)', () => {
  expect(Object.keys(texts)).toEqual(['openapi.json', 'openapi-3.1.json'])
  for (const [name, rendered] of Object.entries(texts))
    expect(readFileSync(join(DOCUMENTS_FOLDER, name), 'utf8') === rendered, name).toBe(true)
})

test('/openapi-3.1.json is the same document without QUERY, for tools that stop at 3.1', async () => {
  const { headers, body } = await service.app.inject({
    url: '/openapi-3.1.json',
    headers: { host: '127.0.0.1:8080' },
  })
  expect(headers['content-type']).toBe('application/json; charset=utf-8')
  const { openapi, paths, ...others } = JSON.parse(body) as Document
  const { openapi: _version, paths: all, ...expected } = document
  expect(openapi).toBe('3.1.1')
  expect(others).toEqual(expected)
  const posts = Object.fromEntries(
    Object.entries(all).map(([path, { query: _query, ...operations }]) => [path, operations]),
  )
  expect(paths).toEqual(posts)
  expect(paths).not.toEqual(all)
  expect(texts['openapi-3.1.json']).toBe(`${JSON.stringify(JSON.parse(body), null, 2)}\n`)
})

test('the served document is the committed one, with examples for the address that it is read at', async () => {
  const read = async (url: string, host: string) =>
    (await service.app.inject({ url, headers: { host } })).json()
  for (const url of ['/openapi.json', '/docs/json']) {
    expect(await read(url, '127.0.0.1:8080')).toEqual(document)
    expect(await read(url, 'tables.example')).toEqual(
      JSON.parse(text.replaceAll('http://127.0.0.1:8080', 'http://tables.example')),
    )
  }
})

test('an address is text in the document, whatever a client writes as its host', () => {
  const text = nameOrigin('{"a":"http://127.0.0.1:8080/v1"}', 'http://a"$&b')
  expect(JSON.parse(text)).toEqual({ a: 'http://a"$&b/v1' })
})

describe('every operation of the document', () => {
  test('has a summary and a tag', () => {
    for (const { path, method, operation } of operations()) {
      expect(operation.summary, `${method} ${path}`).toMatch(/\w/)
      expect(operation.tags, `${method} ${path}`).toHaveLength(1)
    }
  })

  test('has an id of its own, after which generated clients name their functions', () => {
    const ids = operations().map(({ operation }) => operation.operationId)
    for (const id of ids) expect(id).toMatch(/^[a-z]+([A-Z][a-z]+)+$/)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids).toEqual(
      expect.arrayContaining(['putTable', 'lookupRows', 'lookupRowsByQuery', 'getTableData']),
    )
  })

  test('names the objects that it takes and answers', () => {
    const schemas = operations().flatMap(({ path, method, operation }) =>
      [
        operation.requestBody?.content,
        ...Object.values(operation.responses).map(({ content }) => content),
      ].flatMap((content) => {
        const schema = content?.['application/json']?.schema
        return schema === undefined ? [] : [{ place: `${method} ${path}`, schema }]
      }),
    )
    const nameless = schemas.filter(({ schema }) => schema.$ref === undefined && schema.type !== 'string')
    expect(nameless.map(({ place }) => place)).toEqual([])
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining(['LookupRequest', 'TableSpecification', 'Optimizer', 'AdamOptimizer', 'Mode']),
    )
  })

  test('has a scope; only those that hold no data are open', () => {
    const scopes = operations().map(({ path, operation }) => ({ path, scope: operation['x-scope'] }))
    for (const { path, scope } of scopes) expect(['read', 'write', 'admin', 'open'], path).toContain(scope)
    const open = scopes.filter(({ scope }) => scope === 'open').map(({ path }) => path)
    expect(open.sort()).toEqual(['/', '/livez', '/readyz'])
    const written = scopes.filter(({ scope }) => scope === 'write').map(({ path }) => path)
    expect(written.sort()).toEqual(['/v1/tables/{table}/gradients', '/v1/tables/{table}/rows'])
  })

  test('lists its errors as problems', () => {
    for (const { path, method, operation } of operations()) {
      const errors = Object.entries(operation.responses).filter(([status]) => status >= '400')
      expect(
        errors.map(([status]) => status),
        `${method} ${path}`,
      ).toEqual(expect.arrayContaining(['400', '500', '503']))
      for (const [, { content, description }] of errors) {
        expect(content).toEqual({
          'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
        })
        expect(description).toMatch(/`[A-Z_]+`: /)
      }
      if (path.includes('{upload}'))
        expect(operation.responses['404'].description).toContain('UPLOAD_NOT_FOUND')
      else if (path.includes('{table}') && method !== 'put' && !path.endsWith('/uploads'))
        expect(operation.responses['404'].description).toContain('TABLE_NOT_FOUND')
      if (operation.requestBody !== undefined)
        expect(operation.responses['415'].description).toContain('UNSUPPORTED_MEDIA_TYPE')
    }
  })

  test('that accepts an Idempotency-Key lists it, without an example that tools would send', () => {
    const takers = operations().filter(({ operation }) =>
      operation.parameters?.some(({ name }) => name === 'Idempotency-Key'),
    )
    const reads = /lookup|attend|infer$|snapshots|\/parts\//
    const changes = operations().filter(
      ({ method, path }) => !['get', 'head', 'query'].includes(method) && !reads.test(path),
    )
    const names = (list: typeof takers) => list.map(({ method, path }) => `${method} ${path}`).sort()
    expect(names(takers)).toEqual(names(changes))
    expect(takers.length).toBeGreaterThan(13)
    for (const { operation } of takers) {
      expect(operation.parameters?.find(({ name }) => name === 'Idempotency-Key')).not.toHaveProperty(
        'example',
      )
      expect(operation.responses['409'].description).toContain('IDEMPOTENCY_IN_FLIGHT')
      expect(operation.responses['422'].description).toContain('IDEMPOTENCY_MISMATCH')
      expect(operation.responses['507'].description).toContain('DISK_FULL')
    }
  })

  test('that accepts binary bodies has an example in curl and in Python', () => {
    const binary = operations().filter(({ operation }) =>
      Object.keys(operation.requestBody?.content ?? {}).some((type) => type !== 'application/json'),
    )
    expect(binary.map(({ method, path }) => `${method} ${path}`)).toContain('put /v1/tables/{table}')
    for (const { path, method, operation } of binary) {
      expect(operation.description, `${method} ${path}`).toContain('curl')
      expect(operation.description, `${method} ${path}`).toContain('import ')
    }
  })

  test('shows what is between < and > as code, because pages would take it for a tag', () => {
    const descriptions = [...text.matchAll(/"(?:description|summary)": "((?:[^"\\]|\\.)*)"/g)].map(
      ([, one]) => JSON.parse(`"${one}"`) as string,
    )
    const bare = descriptions.map((one) => one.replaceAll(/```.*?```|`[^`]*`/gs, ''))
    expect(bare.filter((one) => /<\w/.test(one))).toEqual([])
    expect(descriptions.length).toBeGreaterThan(100)
  })

  test('refers to existing schemas', () => {
    const names = [...text.matchAll(/"\$ref": "([^"]*)"/g)].map(([, reference]) => reference)
    for (const name of new Set(names))
      expect(document.components.schemas, name).toHaveProperty(name.replace('#/components/schemas/', ''))
    expect(names.length).toBeGreaterThan(0)
  })
})

test('Every route of the service is in the document, and lookups have QUERY beside POST', () => {
  const paths = Object.keys(document.paths).map((path) => path.replaceAll(/\{(\w+)\}/g, 'words'))
  expect(paths).toEqual(
    expect.arrayContaining([
      '/v1/tables',
      '/v1/tables/words',
      '/v1/tables/words/lookup',
      '/v1/tables/words/uploads',
      '/v1/tables/words/versions',
      '/v1/tables/words/rollback',
      '/v1/aliases/words',
      '/v1/snapshots',
      '/v1/lookup',
      '/v1/limits',
      '/livez',
      '/readyz',
      '/',
    ]),
  )
  expect(Object.keys(document.paths['/v1/tables/{table}/lookup']).sort()).toEqual(['post', 'query'])
  expect(document.openapi).toBe('3.2.0')
})

/** Replaces the references in a schema by the schemas that they name. */
const resolve = (schema: unknown): unknown => {
  if (Array.isArray(schema)) return schema.map(resolve)
  if (typeof schema !== 'object' || schema === null) return schema
  const { $ref } = schema as { $ref?: string }
  if ($ref !== undefined)
    return resolve(document.components.schemas[$ref.replace('#/components/schemas/', '')])
  return Object.fromEntries(Object.entries(schema).map(([name, member]) => [name, resolve(member)]))
}

describe('the examples of the document work in order:', () => {
  const steps: [string, string][] = [
    ['put', '/v1/tables/{table}'],
    ['patch', '/v1/tables/{table}'],
    ['post', '/v1/tables/{table}/uploads'],
    ['post', '/v1/tables/{table}/lookup'],
    ['query', '/v1/tables/{table}/lookup'],
    ['post', '/v1/lookup'],
    ['post', '/v1/tables/{table}/attend'],
    ['post', '/v1/tables/{table}/gradients'],
    ['post', '/v1/tables/{table}/rows'],
    ['put', '/v1/aliases/{alias}'],
    ['post', '/v1/tables/{table}/rollback'],
  ]

  test.each(steps)(
    '%s %s',
    async (method, path) => {
      const { requestBody, responses } = document.paths[path][method]
      const media = requestBody?.content['application/json']
      const examples =
        media?.example === undefined
          ? Object.values(media?.examples ?? {}).map(({ value }) => value)
          : [media.example]
      expect(examples.length).toBeGreaterThan(0)
      for (const payload of examples) {
        const response = await service.app.inject({
          method: method.toUpperCase() as 'POST',
          url: path.replace('{table}', 'words').replace('{alias}', 'production'),
          payload,
        })
        expect(response.statusCode, response.body).toBeLessThan(300)
        const schema = responses[String(response.statusCode)].content?.['application/json'].schema
        const [fits, errors] = Schema.Errors(resolve(schema) as Json, response.json())
        expect(fits, JSON.stringify(errors)).toBe(true)
      }
    },
    60_000,
  )

  test('GET answers match their schemas afterwards', async () => {
    for (const path of [
      '/v1/tables',
      '/v1/tables/{table}',
      '/v1/tables/{table}/rows',
      '/v1/tables/{table}/uploads',
      '/v1/tables/{table}/versions',
      '/v1/aliases',
      '/v1/aliases/{alias}',
      '/v1/limits',
      '/livez',
      '/readyz',
      '/',
    ]) {
      const response = await service.app.inject({
        url: path.replace('{table}', 'words').replace('{alias}', 'production'),
      })
      expect(response.statusCode).toBe(200)
      const [fits, errors] = Schema.Errors(
        resolve(document.paths[path].get.responses['200'].content?.['application/json'].schema) as Json,
        response.json(),
      )
      expect(fits, `${path} ${JSON.stringify(errors)}`).toBe(true)
    }
  })

  test('errors match the schema of problems', async () => {
    const response = await service.app.inject({ method: 'PATCH', url: '/v1/tables/words', payload: { x: 1 } })
    const [fits] = Schema.Errors(resolve({ $ref: '#/components/schemas/Problem' }) as Json, response.json())
    expect(fits).toBe(true)
  })
})
