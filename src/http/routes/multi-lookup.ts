/** The route that looks rows up in several tables at once. */
import { Type } from 'typebox'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { listNamedArrays } from '../../formats/format.ts'
import { readJsonObjects } from '../../formats/json-reader.ts'
import { fromTensors } from '../../lookup/decode.ts'
import { lookup } from '../../lookup/lookup.ts'
import {
  decodeNamedTensors,
  joinJson,
  joinTensors,
  lookupNumbers,
  type NamedLookup,
  placeErrors,
  refuseRepeatedTables,
  runLookups,
} from '../../lookup/multi-lookup.ts'
import { sendBuffer } from '../answer/send-answer.ts'
import { checkConnected } from '../conditions.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { ARRAYS_FORMATS, type Format } from '../negotiate.ts'
import {
  LOOKUP_TENSORS,
  MultiLookupAnswer,
  MultiLookupBody,
  MultiLookupQuery,
  type MultiLookupQueryInput,
  NamedLookupMembers,
} from '../schemas/lookup.ts'
import { CLOSED } from '../schemas/scalars.ts'
import { compileChecker } from '../validate.ts'

const checkNoMembers = compileChecker(Type.Object({}, CLOSED), ['lookups'])
const checkMembers = compileChecker(NamedLookupMembers, LOOKUP_TENSORS)

/** `POST` and `QUERY /v1/lookup`: several tables in one request. */
export const multiLookupRoute: Route = defineRoute({
  method: ['POST', 'QUERY'],
  url: '/v1/lookup',
  scope: 'read',
  tag: 'lookup',
  operationId: 'lookupTables',
  summary: 'Look rows up in several tables',
  description: `If one lookup fails, the request fails, with a pointer to that lookup. A safetensors
body has a tensor \`{table}/indices\` per table (and \`{table}/offsets\` and \`{table}/weights\` to pool), and
its answer has \`{table}/embeddings\`, and \`{table}/mask\` with \`?mask=true\`. Its options go in the query and apply to all lookups.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/lookup -H 'content-type: application/json' \\
  -d '{"lookups":[{"table":"words","indices":[3,1]},{"table":"words","indices":0}]}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import load, save
body = save({"words/indices": np.array([[3], [1]])})
answer = requests.post("http://127.0.0.1:8080/v1/lookup", data=body,
                       headers={"content-type": "application/x-safetensors",
                                "accept": "application/x-safetensors"})
rows = load(answer.content)["words/embeddings"]      # shape (2, 1, dim)
\`\`\``,
  query: MultiLookupQuery,
  bodySchema: MultiLookupBody,
  response: { 200: MultiLookupAnswer },
  accepts: { whole: ARRAYS_FORMATS },
  bodyBytesMax: LIMITS.lookupBodyBytesMax,
  answers: ARRAYS_FORMATS,
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
  handler: async (context, { query, body, bodyFormat, encoding, reply }) => {
    const lookups = readLookups(bodyFormat, body, query)
    if (encoding !== 'json') refuseRepeatedTables(lookups, encoding)
    const { registry, lookups: services } = context
    const find = ({ table, version }: NamedLookup) => {
      checkConnected(reply)
      const entry = registry.find(table)
      return [entry, registry.resolve(entry, version)] as const
    }
    const joined =
      encoding === 'json'
        ? joinJson(
            services,
            await runLookups(lookups, (one) => lookup(services, ...find(one), one.request, 'json')),
          )
        : joinTensors(
            services,
            lookups,
            await runLookups(lookups, (one) => lookupNumbers(services, ...find(one), one.request)),
            encoding,
          )
    return sendBuffer(reply, joined.body, joined.mediaType)
  },
})

const readLookups = (format: Format, body: Buffer, query: MultiLookupQueryInput): NamedLookup[] => {
  if (format !== 'json') return decodeNamedTensors(format, body, query)
  const stray = Object.keys(query)[0]
  if (stray !== undefined)
    refuse(
      'INVALID_REQUEST',
      `?${stray} is for ${listNamedArrays()} bodies; in JSON each lookup has its own options`,
    )
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
