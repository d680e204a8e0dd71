import type { FastifyRequest } from 'fastify'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObjects } from '../../formats/json-reader.ts'
import { fromTensors } from '../../lookup/decode.ts'
import { lookup } from '../../lookup/lookup.ts'
import {
  decodeNamedTensors,
  joinJson,
  joinTensors,
  type NamedLookup,
  placeErrors,
  refuseRepeatedTables,
  runLookups,
} from '../../lookup/multi-lookup.ts'
import { Type } from 'typebox'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { FORMAT_MEDIA_TYPES, negotiateFormat, parseFormat } from '../negotiate.ts'
import { acceptBodies } from '../body/receive.ts'
import {
  LOOKUP_TENSORS,
  MultiLookupAnswer,
  MultiLookupBody,
  MultiLookupQuery,
  type MultiLookupQueryInput,
  NamedLookupMembers,
} from '../schemas/lookup.ts'
import { CLOSED } from '../schemas/scalars.ts'
import { sendBuffer } from '../answer/send-answer.ts'
import { compileChecker } from '../validate.ts'

const checkNoMembers = compileChecker(Type.Object({}, CLOSED))
const checkMembers = compileChecker(NamedLookupMembers)

const describeMultiLookup = {
  tags: ['lookup'],
  summary: 'Look rows up in several tables',
  description: `All or nothing: one failure fails the request, with a pointer to the lookup that did. A safetensors body has a tensor
\`{table}/indices\` per table (to pool also \`{table}/offsets\` and \`{table}/weights\`) and is answered by \`{table}/embeddings\`; its options go in
the query and hold for all.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/lookup -H 'content-type: application/json' \\
  -d '{"lookups":[{"table":"words","indices":[3,1]},{"table":"words","indices":0}]}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import load, save
body = save({"words/indices": np.array([[3], [1]])})
answer = requests.post("http://127.0.0.1:8080/v1/lookup", data=body,
                       headers={"content-type": "application/x-safetensors", "accept": "application/x-safetensors"})
rows = load(answer.content)["words/embeddings"]      # shape (2, 1, dim)
\`\`\``,
  querystring: MultiLookupQuery,
  consumes: [FORMAT_MEDIA_TYPES.json, FORMAT_MEDIA_TYPES.safetensors],
  produces: [FORMAT_MEDIA_TYPES.json, FORMAT_MEDIA_TYPES.safetensors],
  body: MultiLookupBody,
  response: { 200: MultiLookupAnswer },
}

type MultiLookupHttpRequest = FastifyRequest<{ Querystring: MultiLookupQueryInput; Body: Buffer }>

/** `POST` and `QUERY /v1/lookup`: several tables in one request. JSON answers JSON, safetensors answers safetensors. */
export const addMultiLookupRoute = (app: App, context: HttpContext): void => {
  app.register(async (scope) => {
    acceptBodies(scope, ['json', 'safetensors'], LIMITS.lookupBodyBytesMax)
    scope.route({
      method: ['POST', 'QUERY'],
      url: '/v1/lookup',
      schema: describeMultiLookup,
      bodyLimit: LIMITS.lookupBodyBytesMax,
      handler: async (request, reply) => {
        checkDeadline(request)
        const encoding = negotiateFormat(request.headers.accept, ['json', 'safetensors'])
        const lookups = decodeLookups(request as MultiLookupHttpRequest)
        if (encoding === 'safetensors') refuseRepeatedTables(lookups)
        const answers = await runLookups(lookups, (one) => {
          const entry = context.registry.find(one.table)
          return lookup(
            context.lookups,
            entry,
            context.registry.resolve(entry, one.version),
            one.request,
            encoding === 'json' ? 'json' : 'raw',
          )
        })
        const joined =
          encoding === 'json'
            ? joinJson(context.lookups, answers)
            : joinTensors(context.lookups, lookups, answers)
        return sendBuffer(reply, joined.body, joined.mediaType)
      },
    })
  })
}

const decodeLookups = ({ headers, query, body }: MultiLookupHttpRequest): NamedLookup[] => {
  if (parseFormat(headers['content-type']) === 'safetensors') return decodeNamedTensors(body, query)
  const stray = Object.keys(query)[0]
  if (stray !== undefined)
    refuse('INVALID_REQUEST', `?${stray} is for safetensors bodies; in JSON each lookup has its own options`)
  const { members, objects } = readJsonObjects(body, 'lookups', LOOKUP_TENSORS)
  checkNoMembers(members)
  return objects.map((object, i) =>
    placeErrors(`/lookups/${i}`, () => {
      const { table, version, ...options } = checkMembers(object.members)
      return {
        table,
        version,
        request: { ...fromTensors(object.tensors), options },
        pointer: `/lookups/${i}`,
      }
    }),
  )
}
