/** Configures the OpenAPI document: its general part here, its operations from the declarations of routes. */
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { assert } from '../../core/assert.ts'
import { version } from '../../version.ts'
import { PROBLEM_MEDIA_TYPE } from '../errors/problem.ts'
import { describeOperation } from './describe-operation.ts'
import { finishDocument, type OpenApiDocument } from './finish-document.ts'

const DESCRIPTION = `Embedding tables over HTTP: upload a matrix, look rows up in batches, push gradients
back.

Numbers in binary bodies are little-endian, row-major, without padding. \`Accept\` chooses the format of the
answer; the default is JSON. Every error is \`${PROBLEM_MEDIA_TYPE}\` with a \`code\` from [one
table](/docs/errors). \`X-Request-Timeout-Ms\` is a deadline: a request whose work cannot begin before it gets
a 504. \`X-Request-Id\`, if it is plain text of up to 128 characters, is the id in answers and log lines.

The examples can be run here: PUT makes the table \`words\` that the others use.`

/**
 * Options of @fastify/swagger. A route without a declaration is not shown, and neither is the HEAD that
 * Fastify adds to a GET.
 */
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
    // No operation asks for a key.
    security: [],
    tags: [
      { name: 'tables', description: 'Make, describe, change and download tables' },
      { name: 'uploads', description: 'Upload tables in parts, over unreliable networks' },
      { name: 'lookup', description: 'Look rows up by their ids' },
      { name: 'versions', description: 'Roll back to earlier data, and read tables under an alias' },
      { name: 'updates', description: 'Apply gradients and values to rows' },
      { name: 'lora', description: 'Low-rank adapters, added to rows as they are looked up' },
      { name: 'service', description: 'Health, limits, snapshots' },
    ],
  },
  refResolver: {
    buildLocalReference: (json, _baseUri, _fragment, index) => String(json.$id ?? `schema-${index}`),
  },
  transform: ({ url, route: { config, method } }) => {
    const declaration = config?.declaration
    const isShown = declaration?.tag !== undefined && !method.includes('HEAD')
    return { schema: isShown ? describeOperation(declaration) : { hide: true }, url }
  },
  transformObject: (collected) => {
    assert('openapiObject' in collected, 'the document is one of OpenAPI, not of Swagger 2')
    return finishDocument(collected.openapiObject as OpenApiDocument) as typeof collected.openapiObject
  },
}

/**
 * The examples of the document name a service at its default address. A reader gets them with the address
 * that the document was read at, so that they can be copied.
 */
const DEFAULT_ORIGIN = 'http://127.0.0.1:8080'

/** The address of the service as the client wrote it: `http://host:port`. */
export const originOf = ({ protocol, host }: { protocol: string; host: string }): string =>
  `${protocol}://${host}`

/**
 * The text of the document with examples for `origin`, which is escaped: it comes from a header of the
 * client.
 */
export const nameOrigin = (document: string, origin: string): string =>
  document.replaceAll(DEFAULT_ORIGIN, () => JSON.stringify(origin).slice(1, -1))
