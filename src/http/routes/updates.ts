import type { FastifyReply, FastifyRequest } from 'fastify'
import { LIMITS } from '../../core/limits.ts'
import type { UpdateKey, UpdateResult } from '../../writer/protocol.ts'
import { planUpdate, type UpdateMessage } from '../../update/plan.ts'
import type { TableEntry } from '../../tables/registry.ts'
import { acceptBodiesInto, pinBody } from '../body/arena-bodies.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { bindKey, parseIdempotencyKey } from '../idempotency.ts'
import { FORMAT_MEDIA_TYPES, negotiateFormat, parseFormat, parsePrecondition } from '../negotiate.ts'
import { TableParams } from '../schemas/table.ts'
import {
  GradientsBody,
  GradientsQuery,
  RowsUpdateBody,
  RowsUpdateQuery,
  UpdateAnswer,
} from '../schemas/updates.ts'
import { stateHeaders } from '../answer/state-headers.ts'
import { answerUpdate, type ParsedUpdate, readUpdate, type UpdateQuery } from '../../update/decode.ts'

type UpdateRequest = FastifyRequest<{
  Params: { table: string }
  Querystring: UpdateQuery
  Body: Buffer
}>

const describeUpdate = (what: { summary: string; description: string }) => ({
  tags: ['updates'],
  ...what,
  params: TableParams,
  consumes: [FORMAT_MEDIA_TYPES.json, FORMAT_MEDIA_TYPES.safetensors],
  response: { 200: UpdateAnswer },
})

const describeGradients = {
  ...describeUpdate({
    summary: 'Push gradients back',
    description: `One step of the table's optimizer on each row that is named; gradients of equal indices are summed first. All or nothing.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/gradients -H 'content-type: application/json' \\
  -d '{"indices":[0],"gradients":[[0.1,0.2,0.3]],"learning_rate":0.1}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import save
body = save({"indices": np.array([3, 1, 3]), "gradients": np.ones((3, 3), np.float32)})
requests.post("http://127.0.0.1:8080/v1/tables/words/gradients?learning_rate=0.1", data=body,
              headers={"content-type": "application/x-safetensors"}).json()
\`\`\``,
  }),
  querystring: GradientsQuery,
  body: GradientsBody,
}

const describeRowsUpdate = {
  ...describeUpdate({
    summary: 'Set rows, or add to them',
    description: `\`set\`: the last of equal indices wins; \`add\`: they all add, in order. All or nothing.

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/rows -H 'content-type: application/json' \\
  -d '{"op":"set","indices":[0],"values":[[1,2,3]]}'
\`\`\`

\`\`\`python
import numpy as np, requests
from safetensors.numpy import save
body = save({"indices": np.array([0, 2]), "values": np.zeros((2, 3), np.float32)})
requests.post("http://127.0.0.1:8080/v1/tables/words/rows?op=set", data=body,
              headers={"content-type": "application/x-safetensors"}).json()
\`\`\``,
  }),
  querystring: RowsUpdateQuery,
  body: RowsUpdateBody,
}

/** `POST /v1/tables/{table}/gradients` and `POST /v1/tables/{table}/rows`. */
export const addUpdateRoutes = (app: App, context: HttpContext): void => {
  const bodyLimit = LIMITS.updateBodyBytesMax
  app.register(async (scope) => {
    acceptBodiesInto(scope, context.lookups.updateBodies, ['json', 'safetensors'], bodyLimit)
    scope.post('/v1/tables/:table/gradients', { schema: describeGradients, bodyLimit }, (request, reply) =>
      update(context, request as UpdateRequest, reply, 'gradients'),
    )
    scope.post('/v1/tables/:table/rows', { schema: describeRowsUpdate, bodyLimit }, (request, reply) =>
      update(context, request as UpdateRequest, reply, 'rows'),
    )
  })
}

/** One update: decode, check, hand to the writer, answer. */
const update = async (
  context: HttpContext,
  request: UpdateRequest,
  reply: FastifyReply,
  route: 'gradients' | 'rows',
): Promise<FastifyReply> => {
  checkDeadline(request)
  negotiateFormat(request.headers.accept, ['json'])
  const name = parseIdempotencyKey(request.headers['idempotency-key'])
  const entry = context.registry.findTable(request.params.table)
  const format = parseFormat(request.headers['content-type']) === 'json' ? 'json' : 'safetensors'
  const asked = readUpdate(route, format, request.body, request.query)
  const key = name === undefined ? undefined : bindKey(name, meaningOf(request, asked), request.body)
  const result = await submit(context, request, entry, asked, key)
  return reply
    .headers(stateHeaders(result.version, result.sequence))
    .header('cache-control', 'no-store')
    .send(answerUpdate(entry.record.name, result))
}

/** What the request asks for beside the arrays, and how these are to be read. */
const meaningOf = (request: UpdateRequest, { operation, learningRate }: ParsedUpdate) => [
  parseFormat(request.headers['content-type']),
  operation,
  learningRate,
]

/** Checks the update and hands it to the writer. One that was done before is not refused for what the table has become since. */
const submit = async (
  { writer, lookups }: HttpContext,
  request: UpdateRequest,
  entry: TableEntry,
  { arrays, ...how }: ParsedUpdate,
  key: UpdateKey | undefined,
): Promise<UpdateResult> => {
  const precondition = parsePrecondition(request.headers)
  let mail: UpdateMessage
  try {
    mail = planUpdate(
      entry,
      arrays,
      { ...how, precondition, key, deadlineAt: request.deadlineAt },
      lookups.arena,
    )
  } catch (error) {
    const first = key === undefined ? null : await writer.call('recall', { name: entry.record.name, key })
    if (first === null) throw error
    return first
  }
  // The writer reads the values where the body lies, whether or not the client still waits.
  const release = pinBody(request)
  try {
    return await writer.call('update', mail.call)
  } finally {
    lookups.arena.release(mail.region)
    release()
  }
}
