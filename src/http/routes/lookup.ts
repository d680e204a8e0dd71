import type { FastifyRequest } from 'fastify'
import { LIMITS } from '../../core/limits.ts'
import { decodeIndices } from '../../lookup/decode.ts'
import type { Encoding } from '../../lookup/encode.ts'
import { prepareLookup, runLookup } from '../../lookup/lookup.ts'
import type { LookupRequest } from '../../lookup/request.ts'
import { isStreamed, streamLookup } from '../../lookup/stream.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { readJsonLookup } from '../body/lookup-body.ts'
import { FORMAT_MEDIA_TYPES, negotiateFormat, parseFormat } from '../negotiate.ts'
import { acceptBodies } from '../body/receive.ts'
import { LookupAnswer, LookupBody, LookupQuery, type LookupQueryInput } from '../schemas/lookup.ts'
import { TableParams } from '../schemas/table.ts'
import { sendAnswer } from '../answer/send-answer.ts'
import { sendStreamed } from '../answer/send-stream.ts'

const ENCODINGS: readonly Encoding[] = ['json', 'raw', 'npy', 'safetensors']

const describeLookup = {
  tags: ['lookup'],
  summary: 'Look rows up',
  description: `One row per id, in the order of the ids, shaped like them. JSON, or without any parsing:

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

Binary bodies are arrays only: ids as octet-stream (int32 unless \`index_dtype\` says otherwise) or npy, or safetensors with a tensor \`indices\`. The options go in the query.

With \`pooling\` the rows of each bag become one row, and the answer has the shape (bags, dim):

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/lookup -H 'content-type: application/json' \\
  -d '{"indices":[[3,1],[2]],"pooling":"mean"}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import load, save
body = save({"indices": np.array([3, 1, 2]), "offsets": np.array([0, 2]), "weights": np.array([0.5, 2, 1], np.float32)})
answer = requests.post("http://127.0.0.1:8080/v1/tables/words/lookup?pooling=sum", data=body,
                       headers={"content-type": "application/x-safetensors", "accept": "application/x-safetensors"})
bags = load(answer.content)["embeddings"]           # shape (2, dim)
\`\`\``,
  params: TableParams,
  querystring: LookupQuery,
  consumes: Object.values(FORMAT_MEDIA_TYPES),
  produces: Object.values(FORMAT_MEDIA_TYPES),
  body: LookupBody,
  response: { 200: LookupAnswer },
}

type LookupHttpRequest = FastifyRequest<{
  Params: { table: string }
  Querystring: LookupQueryInput
  Body: Buffer
}>

/** `POST` and `QUERY /v1/tables/{table}/lookup`. */
export const addLookupRoute = (app: App, context: HttpContext): void => {
  const { registry, lookups } = context
  app.register(async (scope) => {
    acceptBodies(scope, ENCODINGS, LIMITS.lookupBodyBytesMax)
    scope.route({
      method: ['POST', 'QUERY'],
      url: '/v1/tables/:table/lookup',
      schema: describeLookup,
      bodyLimit: LIMITS.lookupBodyBytesMax,
      handler: (request: LookupHttpRequest, reply) => {
        checkDeadline(request)
        const encoding = negotiateFormat(request.headers.accept, ENCODINGS)
        const entry = registry.find(request.params.table)
        const { version: number, ...decoded } = decodeRequest(request)
        const version = registry.resolve(entry, number)
        const planned = prepareLookup(entry, version, decoded, encoding)
        if (isStreamed(planned)) return sendStreamed(reply, streamLookup(lookups, planned))
        const answer = runLookup(lookups, planned)
        if (answer instanceof Promise) return answer.then((done) => sendAnswer(reply, done, encoding))
        // Nothing is returned: what is, Fastify takes for a promise to wait for.
        sendAnswer(reply, answer, encoding)
        return undefined
      },
    })
  })
}

/** What the body and the query ask, with the version that they pin. */
const decodeRequest = (request: LookupHttpRequest): LookupRequest & { version?: number } => {
  const { shape, index_dtype, offsets, weights, version, ...options } = request.query
  const format = parseFormat(request.headers['content-type']) ?? 'json'
  if (format !== 'json')
    return {
      ...decodeIndices(format, request.body, { shape, index_dtype, offsets, weights }),
      options,
      version,
    }
  return readJsonLookup(request.body, request.query)
}
