/** The route that looks rows up. */
import { LIMITS } from '../../core/limits.ts'
import { decodeIndices, indexHeaders } from '../../lookup/decode.ts'
import { prepareLookup, runLookup } from '../../lookup/lookup.ts'
import type { LookupRequest } from '../../lookup/request.ts'
import { isStreamed, streamLookup } from '../../lookup/stream.ts'
import { sendAnswer } from '../answer/send-answer.ts'
import { sendStreamed } from '../answer/send-stream.ts'
import { readJsonLookup } from '../body/lookup-body.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { type Format, LOOKUP_FORMATS } from '../negotiate.ts'
import { LookupAnswer, LookupBody, LookupQuery, type LookupQueryInput } from '../schemas/lookup.ts'
import { TableParams } from '../schemas/table.ts'

/** `POST` and `QUERY /v1/tables/{table}/lookup`. */
export const lookupRoute: Route = defineRoute({
  method: ['POST', 'QUERY'],
  url: '/v1/tables/:table/lookup',
  scope: 'read',
  tag: 'lookup',
  operationId: 'lookupRows',
  summary: 'Look rows up',
  description: `The answer has one row per id, in the order and the shape of the ids. Requests and
answers are JSON, or binary, which needs no parsing:

\`\`\`sh
printf '\\x03\\0\\0\\0\\x01\\0\\0\\0' | curl -fsS 'http://127.0.0.1:8080/v1/tables/words/lookup?index_dtype=int32' \\
  -H 'content-type: application/octet-stream' -H 'accept: application/octet-stream' --data-binary @- | od -f
\`\`\`

\`\`\`python
import io, numpy as np, requests
body = io.BytesIO()
np.save(body, np.array([[3, 1], [2, 0]]))
answer = requests.post("http://127.0.0.1:8080/v1/tables/words/lookup?mode=clip", data=body.getvalue(),
                       headers={"content-type": "application/x-npy", "accept": "application/x-npy"})
rows = np.load(io.BytesIO(answer.content))          # shape (2, 2, dim), float32
\`\`\`

Binary bodies contain only arrays: ids as octet-stream, npy, or safetensors with a tensor \`indices\`. The
options go in the query. Bare ids do not say their type: without \`index_dtype\` they are read as int32, and
int64 ids, which NumPy and PyTorch make by default, would be twice as many other ids. So always send it; the
answer repeats what was read in \`X-Index-Dtype\`.

With \`pooling\` the rows of each bag become one row, and the answer has the shape (bags, dim):

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/lookup -H 'content-type: application/json' \\
  -d '{"indices":[[3,1],[2]],"pooling":"mean"}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import load, save
body = save({"indices": np.array([3, 1, 2]), "offsets": np.array([0, 2]),
             "weights": np.array([0.5, 2, 1], np.float32)})
answer = requests.post("http://127.0.0.1:8080/v1/tables/words/lookup?pooling=sum", data=body,
                       headers={"content-type": "application/x-safetensors",
                                "accept": "application/x-safetensors"})
bags = load(answer.content)["embeddings"]           # shape (2, dim)
\`\`\``,
  params: TableParams,
  query: LookupQuery,
  bodySchema: LookupBody,
  response: { 200: LookupAnswer },
  accepts: { whole: LOOKUP_FORMATS },
  bodyBytesMax: LIMITS.lookupBodyBytesMax,
  answers: LOOKUP_FORMATS,
  answersState: true,
  deadline: true,
  errors: [
    'TABLE_NOT_FOUND',
    'VERSION_NOT_FOUND',
    'BATCH_TOO_LARGE',
    'INDEX_OUT_OF_RANGE',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
  ],
  handler: ({ registry, lookups, stalls }, { params, query, body, bodyFormat, encoding, reply }) => {
    const entry = registry.find(params.table)
    if (bodyFormat !== 'json') reply.headers(indexHeaders(bodyFormat, query))
    const { version: number, ...decoded } = readLookup(bodyFormat, body, query)
    const reader = registry.resolve(entry, number)
    const planned = prepareLookup(entry, reader, decoded, encoding)
    if (isStreamed(planned)) return sendStreamed(reply, streamLookup(lookups, planned), stalls)
    const answer = runLookup(lookups, planned)
    if (answer instanceof Promise) return answer.then((done) => sendAnswer(reply, done, encoding))
    // The reply is not returned, because Fastify would await it like a promise.
    sendAnswer(reply, answer, encoding)
    return undefined
  },
})

/** Reads the request from body and query, with the version that one of them names. */
const readLookup = (
  format: Format,
  body: Buffer,
  query: LookupQueryInput,
): LookupRequest & { version?: number } => {
  if (format === 'json') return readJsonLookup(body, query)
  const { shape, index_dtype, offsets, weights, version, ...options } = query
  return { ...decodeIndices(format, body, { shape, index_dtype, offsets, weights }), options, version }
}
