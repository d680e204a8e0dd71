import { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { parseContentDigest } from '../../formats/digest.ts'
import type { BuiltTable } from '../../upload/build.ts'
import { createTable } from '../../upload/create.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { type Format, negotiateFormat, parseFormat, parsePrecondition } from '../negotiate.ts'
import { acceptBodies } from '../body/receive.ts'
import { SpecificationBody, TableInfoRef, TableParams, UploadQuery } from '../schemas/table.ts'
import { checkDigest, readSpecification } from '../body/table-specification.ts'
import { describeStored, sendStored, storeTableBody } from '../body/table-body.ts'

type UploadRequest = FastifyRequest<{
  Params: Static<typeof TableParams>
  Querystring: Static<typeof UploadQuery>
}>

/** `PUT /v1/tables/{table}`: from a specification, or from data that is written into the table while it is being sent. */
export const addTableUploadRoute = (app: App, context: HttpContext): void => {
  app.register(async (scope: App) => {
    acceptBodies(scope, ['json'], LIMITS.specificationBodyBytesMax, ['npy', 'safetensors', 'raw'])
    scope.put('/v1/tables/:table', { schema: describePut }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const format = parseFormat(request.headers['content-type'])
      const built =
        format === 'json' || format === undefined
          ? await create(context, request)
          : await upload(context, request, format)
      return sendStored(reply, describeStored(context.registry, request.params.table, built))
    })
  })
}

const create = ({ writer, lookups }: HttpContext, request: UploadRequest): Promise<BuiltTable> => {
  const extra = Object.keys(request.query)
  if (extra.length > 0) {
    refuse('INVALID_REQUEST', 'a specification has everything in its body and nothing in the query', {
      errors: extra.map((name) => ({ pointer: `/${name}`, detail: 'belongs into the body' })),
    })
  }
  const body = request.body as Buffer
  checkDigest(body, readDigest(request))
  const { table } = request.params
  return createTable(writer, lookups.arena, {
    ...readSpecification(body),
    name: table,
    precondition: parsePrecondition(request.headers),
  })
}

const upload = (
  context: HttpContext,
  request: UploadRequest,
  format: Exclude<Format, 'json'>,
): Promise<BuiltTable> => {
  const length = request.headers['content-length']
  return storeTableBody(context, {
    table: request.params.table,
    format,
    query: request.query,
    body: request.body as AsyncIterable<Uint8Array>,
    // What comes from a socket is a copy made for us, which can be given back before the collector finds it.
    freesChunks: request.raw.socket instanceof Socket,
    contentLength: length === undefined ? undefined : Number(length),
    digest: readDigest(request),
    precondition: parsePrecondition(request.headers),
  })
}

const readDigest = ({ headers }: UploadRequest): Uint8Array | undefined => {
  const header = headers['content-digest']
  return header === undefined ? undefined : parseContentDigest(String(header))
}

const describePut = {
  tags: ['tables'],
  summary: 'Create or replace a table',
  description: `From a specification in JSON, or from data as npy, safetensors or raw little-endian numbers, written into memory while it is being sent.
Nobody sees the table before it is complete; then it is the new version, and the settings of the old one stay.

\`\`\`sh
curl -fsS -X PUT http://127.0.0.1:8080/v1/tables/words -H 'content-type: application/json' \\
  -d '{"values":[[0.1,0.2,0.3],[0.4,0.5,0.6],[0.7,0.8,0.9],[1,1.1,1.2]]}'
head -c 48 /dev/zero |
  curl -fsS -X PUT 'http://127.0.0.1:8080/v1/tables/words?rows=4&dim=3&dtype=float16' --data-binary @- \\
    -H 'content-type: application/octet-stream'
\`\`\`

\`\`\`python
import io, numpy as np, requests
body = io.BytesIO()
np.save(body, np.random.rand(4, 3).astype("float32"))
requests.put("http://127.0.0.1:8080/v1/tables/words", data=body.getvalue(),
             headers={"content-type": "application/x-npy"}).raise_for_status()
\`\`\`

A safetensors body may bring the state of the table's optimizer, as \`GET /v1/tables/{table}/data?include=optimizer\` gives it: all of it, or none.
A table that is created takes the optimizer of \`?optimizer=\`, else the one that the metadata names.

\`If-None-Match: *\` creates only, \`If-Match\` replaces only that version. \`Content-Digest: sha-256=:...:\` is verified. The query is for data; a
specification has everything in its body. Without an initializer the rows are zeros.`,
  params: TableParams,
  querystring: UploadQuery,
  consumes: [
    'application/json',
    'application/x-npy',
    'application/x-safetensors',
    'application/octet-stream',
  ],
  body: SpecificationBody,
  response: { 200: TableInfoRef, 201: TableInfoRef },
}
