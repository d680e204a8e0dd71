import type { FastifyReply, FastifyRequest } from 'fastify'
import { attend } from '../../attend/attend.ts'
import { fromJsonTensors, fromSafetensors } from '../../attend/decode.ts'
import type { AttendEncoding } from '../../attend/encode.ts'
import type { AttendRequest } from '../../attend/request.ts'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { FORMAT_MEDIA_TYPES, negotiateFormat, parseFormat } from '../negotiate.ts'
import { acceptBodies } from '../body/receive.ts'
import {
  ATTEND_TENSORS,
  AttendAnswer,
  AttendBody,
  AttendMembers,
  AttendQuery,
  type AttendQueryInput,
} from '../schemas/attend.ts'
import { TableParams } from '../schemas/table.ts'
import { sendAnswer } from '../answer/send-answer.ts'
import { compileChecker } from '../validate.ts'

const ENCODINGS: readonly AttendEncoding[] = ['json', 'safetensors']

const checkMembers = compileChecker(AttendMembers)

const describeAttend = {
  tags: ['lookup'],
  summary: 'Score queries against the whole table',
  description: `Without \`top_k\` the dot products of each query with every row (flax \`Embed.attend\`: queries . A^T), as \`logits\`; with it the best rows
of each query, as \`indices\` and \`scores\`, best first: largest dot product or cosine, smallest \`l2\` (Euclidean distance). Of equal scores the lower index
comes first, NaN last. The row at the table's \`padding_index\` is never among the best.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/attend -H 'content-type: application/json' \\
  -d '{"queries":[0.5,0.5,0.5],"top_k":2,"metric":"cosine"}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import load, save
body = save({"queries": np.ones((32, 3), np.float32)})
answer = requests.post("http://127.0.0.1:8080/v1/tables/words/attend?top_k=2&metric=l2", data=body,
                       headers={"content-type": "application/x-safetensors", "accept": "application/x-safetensors"})
found = load(answer.content)                        # indices and scores, both of shape (32, 2)
\`\`\`

A safetensors body has a tensor \`queries\` of floating-point numbers; the options go in the query. Sums are float32, in an order that depends on nothing but dim.`,
  params: TableParams,
  querystring: AttendQuery,
  consumes: ENCODINGS.map((encoding) => FORMAT_MEDIA_TYPES[encoding]),
  produces: ENCODINGS.map((encoding) => FORMAT_MEDIA_TYPES[encoding]),
  body: AttendBody,
  response: { 200: AttendAnswer },
}

type AttendHttpRequest = FastifyRequest<{
  Params: { table: string }
  Querystring: AttendQueryInput
  Body: Buffer
}>

/** `POST /v1/tables/{table}/attend`. */
export const addAttendRoute = (app: App, context: HttpContext): void => {
  const { registry, lookups } = context
  app.register(async (scope) => {
    acceptBodies(scope, ENCODINGS, LIMITS.lookupBodyBytesMax)
    scope.post(
      '/v1/tables/:table/attend',
      { schema: describeAttend, bodyLimit: LIMITS.lookupBodyBytesMax },
      (request: AttendHttpRequest, reply) => {
        checkDeadline(request)
        const encoding = negotiateFormat(request.headers.accept, ENCODINGS) as AttendEncoding
        const entry = registry.find(request.params.table)
        const { version: number, ...decoded } = decodeRequest(request)
        const version = registry.resolve(entry, number)
        const answer = attend(lookups, entry, version, decoded, encoding, () => checkWanted(request, reply))
        if (answer instanceof Promise) return answer.then((done) => sendAnswer(reply, done, encoding))
        return sendAnswer(reply, answer, encoding)
      },
    )
  })
}

/** What the body and the query ask, with the version that they pin. */
const decodeRequest = (request: AttendHttpRequest): AttendRequest & { version?: number } => {
  const { version, ...options } = request.query
  if (parseFormat(request.headers['content-type']) === 'safetensors')
    return { ...fromSafetensors(request.body), options, version }
  const stray = Object.keys(options)[0]
  if (stray !== undefined) {
    refuse('INVALID_REQUEST', `?${stray} is for safetensors bodies; a JSON body has it inside`, {
      errors: [{ pointer: `/${stray}`, detail: 'belongs in the body' }],
    })
  }
  const { members, tensors } = readJsonObject(request.body, ATTEND_TENSORS, { singles: ATTEND_TENSORS })
  const { version: inside, ...asked } = checkMembers(members)
  return { ...fromJsonTensors(tensors), options: asked, version: version ?? inside }
}

/** A scan may be long: it ends when its deadline has passed, or the client is gone. */
const checkWanted = (request: FastifyRequest, reply: FastifyReply): void => {
  checkDeadline(request)
  if (reply.raw.destroyed) refuse('DEADLINE_EXCEEDED', 'the client is gone')
}
