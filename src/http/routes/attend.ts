/** The route that scores queries against a whole table. */
import { attend } from '../../attend/attend.ts'
import { fromJsonTensors, fromNamedArrays } from '../../attend/decode.ts'
import type { AttendRequest } from '../../attend/plan.ts'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { listNamedArrays } from '../../formats/format.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { sendAnswer } from '../answer/send-answer.ts'
import { chooseVersion } from '../body/lookup-body.ts'
import { checkConnected, checkDeadline } from '../conditions.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { ARRAYS_FORMATS, type Format } from '../negotiate.ts'
import {
  ATTEND_TENSORS,
  AttendAnswer,
  AttendBody,
  AttendMembers,
  AttendQuery,
  type AttendQueryInput,
} from '../schemas/attend.ts'
import { TableParams } from '../schemas/table.ts'
import { compileChecker } from '../validate.ts'

const checkMembers = compileChecker(AttendMembers, ATTEND_TENSORS)

/** `POST /v1/tables/{table}/attend`. */
export const attendRoute: Route = defineRoute({
  method: 'POST',
  url: '/v1/tables/:table/attend',
  scope: 'read',
  tag: 'lookup',
  operationId: 'attendTable',
  summary: 'Score queries against the whole table',
  description: `Without \`top_k\` the answer is the dot products of each query with every row (flax
\`Embed.attend\`: queries . A^T), as \`logits\`. With it the answer is the best rows of each query, best
first, as \`indices\` and \`scores\`: the largest dot product or cosine, or the smallest \`l2\` (Euclidean
distance). Of equal scores the lower index comes first; NaN comes last. The row at the table's
\`padding_index\` is never among the best.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/attend -H 'content-type: application/json' \\
  -d '{"queries":[0.5,0.5,0.5],"top_k":2,"metric":"cosine"}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import load, save
body = save({"queries": np.ones((32, 3), np.float32)})
answer = requests.post("http://127.0.0.1:8080/v1/tables/words/attend?top_k=2&metric=l2", data=body,
                       headers={"content-type": "application/x-safetensors",
                                "accept": "application/x-safetensors"})
found = load(answer.content)                        # indices and scores, both of shape (32, 2)
\`\`\`

A safetensors body has a tensor \`queries\` of floating-point numbers; the options go in the query. Sums are
float32, in an order that depends only on dim; those that float32 cannot hold are taken again in float64, so
that huge and tiny rows are measured like others.`,
  params: TableParams,
  query: AttendQuery,
  bodySchema: AttendBody,
  response: { 200: AttendAnswer },
  accepts: { whole: ARRAYS_FORMATS },
  bodyBytesMax: LIMITS.lookupBodyBytesMax,
  answers: ARRAYS_FORMATS,
  answersState: true,
  deadline: true,
  errors: [
    'TABLE_NOT_FOUND',
    'VERSION_NOT_FOUND',
    'BATCH_TOO_LARGE',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
  ],
  handler: ({ registry, lookups }, { params, query, body, bodyFormat, encoding, request, reply }) => {
    const entry = registry.find(params.table)
    const { version: number, ...decoded } = readAttend(bodyFormat, body, query)
    const reader = registry.resolve(entry, number)
    // A scan may be long: it ends when its deadline has passed, or the client has left.
    const checkWanted = (): void => {
      checkDeadline(request)
      checkConnected(reply)
    }
    const answer = attend(lookups, entry, reader, decoded, encoding, checkWanted)
    if (answer instanceof Promise) return answer.then((done) => sendAnswer(reply, done, encoding))
    return sendAnswer(reply, answer, encoding)
  },
})

/** Reads the request from body and query, with the version that one of them names. */
const readAttend = (
  format: Format,
  body: Buffer,
  { version, ...options }: AttendQueryInput,
): AttendRequest & { version?: number } => {
  if (format !== 'json') return { ...fromNamedArrays(format, body), options, version }
  const stray = Object.keys(options)[0]
  if (stray !== undefined) {
    refuse('INVALID_REQUEST', `?${stray} is for ${listNamedArrays()} bodies; put it into the JSON body`, {
      errors: [{ pointer: `/${stray}`, detail: 'belongs in the body' }],
    })
  }
  const { members, tensors } = readJsonObject(body, ATTEND_TENSORS, { singles: ATTEND_TENSORS })
  const { version: bodyVersion, ...bodyOptions } = checkMembers(members)
  return { ...fromJsonTensors(tensors), options: bodyOptions, version: chooseVersion(version, bodyVersion) }
}
