/** The route that creates or replaces a table. */
import { hash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import { assert } from '../../core/assert.ts'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Precondition } from '../../core/types.ts'
import { checkBodyDigest } from '../../formats/digest.ts'
import { hashBody, hashRequest, runOnce } from '../../update/run-once.ts'
import { bindBuild, type BuildKey, type BuiltTable } from '../../upload/build.ts'
import { createTable } from '../../upload/create.ts'
import { checkConnected } from '../conditions.ts'
import { announcedBody } from '../body/body-stream.ts'
import { sendStored, storeTableBody } from '../body/table-body.ts'
import { readSpecification } from '../body/table-specification.ts'
import type { HttpContext } from '../context.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { TABLE_FORMATS } from '../negotiate.ts'
import { SpecificationBody, TableInfoRef, TableParams, UploadQuery } from '../schemas/table.ts'

/** `PUT /v1/tables/{table}` with a specification, or with data that is stored while it arrives. */
export const tableUploadRoute: Route = defineRoute({
  method: 'PUT',
  url: '/v1/tables/:table',
  scope: 'admin',
  tag: 'tables',
  operationId: 'putTable',
  summary: 'Create or replace a table',
  description: `Makes a table from a specification in JSON, or from data as npy, safetensors or raw
little-endian numbers, which is written into memory while it arrives. No request sees the table before it
is complete; then it is the new version, with the settings of the old one.

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

npy is read as NumPy writes it: in column order too, as \`np.save(frame.to_numpy())\` of pandas and polars
gives it, and big-endian. Only \`dtype=int8\` needs whole rows, and so row order. float64 is rounded to
float32. An npz is an archive: send one array of it, or use \`npx gatherd put\`. Of a safetensors checkpoint
\`tensor\` names the array; the others may be of any number and type. With shards,
\`model.safetensors.index.json\` says which file has it.

int8 rows that have their scale and bias already, as FBGEMM and torchrec keep them (dim bytes, float32 scale,
float32 bias), are stored to the bit with \`input_dtype=int8_rows\`, as uint8 [rows, dim + 8] in npy or as raw
numbers. What \`GET /v1/tables/{table}/data\` gives of an int8 table is taken back to the bit: as safetensors,
or raw with \`rows\`, \`dim\` and \`dtype=int8\`.

A safetensors body may contain the state of the table's optimizer, as \`GET
/v1/tables/{table}/data?include=optimizer\` gives it: all of it or none. A new table gets the optimizer
of \`?optimizer=\`, else the one that the metadata names.

\`If-None-Match: *\` only creates, \`If-Match\` only replaces that version. \`Content-Digest:
sha-256=:...:\` is verified. The query is for data; a specification has everything in its body. Without an
initializer the rows are zeros. With an \`Idempotency-Key\` that was used before, the body is read to its end,
compared with the first by its SHA-256, and not stored; the answer is that to the first request.`,
  params: TableParams,
  query: UploadQuery,
  bodySchema: SpecificationBody,
  response: { 200: TableInfoRef, 201: TableInfoRef },
  accepts: { whole: ['json'], streamed: TABLE_FORMATS },
  bodyBytesMax: LIMITS.specificationBodyBytesMax,
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  verifiesDigest: true,
  errors: ['SHAPE_MISMATCH', 'DTYPE_MISMATCH', 'NON_FINITE', 'MEMORY_QUOTA_EXCEEDED', 'DISK_FULL'],
  handler: async (context, call) => {
    const { params, query, body, bodyFormat, digest, idempotencyKey, reply } = call
    const bind = (bodyDigest: Uint8Array): Uint8Array =>
      hashRequest(['PUT', bodyFormat, Object.entries(query).sort()], bodyDigest)
    const { result, isReplay } = await runOnce<BuiltTable>(
      context.writer,
      { key: idempotencyKey, resource: { kind: 'table', name: params.table } },
      async () => bind(await hashBody(body, digest)),
      (keyId) => {
        const key = keyId === undefined ? undefined : { keyId, request: bind }
        if (bodyFormat === 'json') return create(context, call, key)
        assert(!Buffer.isBuffer(body), 'data is streamed')
        const source = {
          ...announcedBody(call.request),
          table: params.table,
          format: bodyFormat,
          query,
          body,
        }
        return storeTableBody(context, { ...source, digest, precondition: call.precondition, key })
      },
    )
    return sendStored(reply, result, isReplay)
  },
})

interface SpecificationRequest {
  params: { table: string }
  query: Static<typeof UploadQuery>
  body: Buffer | AsyncIterable<Uint8Array>
  digest: Uint8Array | undefined
  precondition: Precondition
  reply: FastifyReply
}

const create = (
  { writer, lookups }: HttpContext,
  { params, query, body, digest, precondition, reply }: SpecificationRequest,
  streamKey: BuildKey | undefined,
): Promise<BuiltTable> => {
  assert(Buffer.isBuffer(body), 'a specification is read as a whole')
  const extra = Object.keys(query)
  if (extra.length > 0) {
    refuse('INVALID_REQUEST', 'a JSON specification takes no query parameters: put them into its body', {
      errors: extra.map((parameter) => ({ pointer: `/${parameter}`, detail: 'belongs in the body' })),
    })
  }
  checkBodyDigest(body, digest)
  const key = streamKey && bindBuild(streamKey, () => hash('sha256', body, 'buffer'))
  return createTable(writer, lookups.arena, {
    ...readSpecification(body),
    name: params.table,
    precondition,
    key,
    checkWanted: () => checkConnected(reply),
  })
}
