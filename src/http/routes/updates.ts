/** The routes that update rows: by gradients, or by values. */
import { LIMITS } from '../../core/limits.ts'
import { answerUpdate } from '../../update/encode.ts'
import { bindKey, runUpdate } from '../../update/run.ts'
import { stateHeaders } from '../answer/send-answer.ts'
import { REPLAY_HEADER } from '../answer/send-table.ts'
import { pinBody } from '../body/arena-bodies.ts'
import { readUpdate, type UpdateQuery } from '../body/update-body.ts'
import type { HttpContext } from '../context.ts'
import { defineRoute, type Route, type RouteCall } from '../define-route.ts'
import { ARRAYS_FORMATS } from '../negotiate.ts'
import { TableParams } from '../schemas/table.ts'
import {
  GradientsBody,
  GradientsQuery,
  RowsUpdateBody,
  RowsUpdateQuery,
  UpdateAnswer,
} from '../schemas/updates.ts'

const ACCEPTS = { whole: ARRAYS_FORMATS, inArena: true } as const

const shared = {
  method: 'POST',
  scope: 'write',
  tag: 'updates',
  params: TableParams,
  response: { 200: UpdateAnswer },
  accepts: ACCEPTS,
  bodyBytesMax: LIMITS.updateBodyBytesMax,
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: [
    'TABLE_NOT_FOUND',
    'DISK_FULL',
    'BATCH_TOO_LARGE',
    'INDEX_OUT_OF_RANGE',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
    'MEMORY_QUOTA_EXCEEDED',
  ],
} as const

const gradients = defineRoute({
  ...shared,
  url: '/v1/tables/:table/gradients',
  operationId: 'pushGradients',
  summary: 'Push gradients back',
  description: `Applies one step of the table's optimizer to each row that \`indices\` names; gradients of
equal indices are summed first. Either all rows change or none.

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
  query: GradientsQuery,
  bodySchema: GradientsBody,
  handler: (context, call) => update('gradients', context, call),
})

const rows = defineRoute({
  ...shared,
  url: '/v1/tables/:table/rows',
  operationId: 'updateRows',
  summary: 'Set rows, or add to them',
  description: `With \`set\` the last of equal indices wins; with \`add\` all are added, in order. Either
all rows change or none.

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
  query: RowsUpdateQuery,
  bodySchema: RowsUpdateBody,
  handler: (context, call) => update('rows', context, call),
})

type UpdateCall = RouteCall<{ table: string }, UpdateQuery, typeof ACCEPTS, 'json'>

const update = async (
  route: 'gradients' | 'rows',
  { registry, writer, lookups, keepUpdateValues }: HttpContext,
  { params, query, body, bodyFormat, idempotencyKey, precondition, request, reply }: UpdateCall,
) => {
  const entry = registry.findTable(params.table)
  const parsed = readUpdate(route, bodyFormat, body, query, keepUpdateValues)
  const meaning = [bodyFormat, parsed.operation, parsed.learningRate]
  const result = await runUpdate(writer, lookups.arena, {
    entry,
    parsed,
    precondition,
    key: idempotencyKey === undefined ? undefined : bindKey(idempotencyKey, meaning, body),
    deadlineAt: request.deadlineAt,
    pinBody: () => pinBody(request),
  })
  if (result.replayed) reply.header(REPLAY_HEADER, 'true')
  return reply
    .headers(stateHeaders(result.version, result.sequence))
    .header('cache-control', 'no-store')
    .send(answerUpdate(entry.record.name, result))
}

/** `POST /v1/tables/{table}/gradients` and `POST /v1/tables/{table}/rows`. */
export const updateRoutes: readonly Route[] = [gradients, rows]
