/** The routes of the LoRA adapter of a table. */
import type { FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import { adapterBytes } from '../../tables/adapter.ts'
import type { AdapterHandle } from '../../tables/handles.ts'
import { entityTag, tagUnder } from '../../tables/precondition.ts'
import { changeTable, hashBody, hashRequest, runOnce, toChangeKey } from '../../update/run-once.ts'
import { uploadAdapter } from '../../upload/adapter.ts'
import { mergeAdapter } from '../../upload/merge.ts'
import { stateHeaders } from '../answer/send-answer.ts'
import { markReplay, sendNothing, sendTableInfo } from '../answer/send-table.ts'
import { announcedBody } from '../body/body-stream.ts'
import { checkConnected, isNotModified } from '../conditions.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { NAMED_ARRAYS_FORMATS } from '../negotiate.ts'
import { LoraAnswer, LoraQuery } from '../schemas/lora.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'

const URL = '/v1/tables/:table/lora'

const get = defineRoute({
  method: 'GET',
  url: URL,
  scope: 'read',
  tag: 'lora',
  operationId: 'getLora',
  summary: 'Describe the LoRA adapter',
  description: 'The adapter of the current version; `lora` is null when there is none.',
  params: TableParams,
  query: NoQuery,
  response: { 200: LoraAnswer, 304: emptyAnswer('Nothing has changed') },
  answers: ['json'],
  answersState: true,
  conditional: true,
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND'],
  handler: ({ registry }, { params: { table: readName }, precondition, reply }) => {
    const { record, current, adapters } = registry.find(readName)
    const { version, dim } = current.handle
    const sequence = current.readSequence()
    const tag = tagUnder(readName, record.name, entityTag(version, sequence))
    const state = { name: record.name, version, sequence, revision: record.revision }
    reply.headers(stateHeaders(version, sequence, tag)).header('cache-control', 'no-cache')
    if (isNotModified(precondition, state, tag)) return reply.status(304).send()
    const adapter = adapters.get(version)?.handle
    const lora = adapter && describeLora({ ...adapter, bytes: adapterBytes(adapter, dim) })
    return reply.send({ table: record.name, version, sequence, lora: lora ?? null })
  },
})

const put = defineRoute({
  method: 'PUT',
  url: URL,
  scope: 'admin',
  tag: 'lora',
  operationId: 'putLora',
  summary: 'Attach a LoRA adapter',
  description: `Lookups of the current version then answer \`E[i] + (alpha / r) * A[i] . B\`, in float32.
The body has the arrays \`a\` [rows, r] and \`b\` [r, dim]; \`alpha\` is in the query or an array of one
number. A new adapter replaces the one before. Bags pool adapted rows; rows that mode \`fill\` makes up are
not adapted. \`dtype=native\` and \`attend\` are refused, and so is every update, because the adapter was
trained on these rows. \`/data\` and \`/rows\` give the rows without the adapter. A replacement of the table
has no adapter. Attaching one is an update: it raises the sequence by one, and so changes the ETag. Its
memory counts against the quota.

\`\`\`python
import numpy as np, requests
from safetensors.numpy import save
# A PEFT embedding keeps both transposed:
# send lora_embedding_A["default"].T and lora_embedding_B["default"].T.
body = save({"a": np.ones((4, 2), np.float32), "b": np.ones((2, 3), np.float32)})
requests.put("http://127.0.0.1:8080/v1/tables/words/lora?alpha=16", data=body,
             headers={"content-type": "application/x-safetensors"}).raise_for_status()
\`\`\`

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/lora
curl -fsS -X DELETE http://127.0.0.1:8080/v1/tables/words/lora
\`\`\``,
  params: TableParams,
  query: LoraQuery,
  bodySchema: BinaryAnswer,
  response: { 200: LoraAnswer, 201: LoraAnswer },
  accepts: { streamed: NAMED_ARRAYS_FORMATS },
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  verifiesDigest: true,
  errors: [
    'TABLE_NOT_FOUND',
    'DISK_FULL',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
    'MEMORY_QUOTA_EXCEEDED',
  ],
  handler: async ({ registry, writer, lookups, headers }, call) => {
    const { params, query, body, bodyFormat, digest, precondition, request, reply } = call
    const bind = (bodyDigest: Uint8Array): Uint8Array =>
      hashRequest(['PUT lora', bodyFormat, query.alpha ?? null], bodyDigest)
    const { result, isReplay } = await runOnce(
      writer,
      { key: call.idempotencyKey, resource: { kind: 'table', name: params.table } },
      async () => bind(await hashBody(body, digest)),
      (keyId) =>
        uploadAdapter(writer, lookups.arena, registry.findTable(params.table), {
          ...announcedBody(request),
          format: bodyFormat,
          body,
          digest,
          alpha: query.alpha,
          headers,
          precondition,
          key: keyId === undefined ? undefined : { keyId, request: bind },
        }),
    )
    const { created, version, sequence, adapter } = result
    const answer = { table: params.table, version, sequence, lora: describeLora(adapter) }
    return sendLora(created ? reply.status(201) : reply, markReplay(reply, answer, isReplay))
  },
})

const remove = defineRoute({
  method: 'DELETE',
  url: URL,
  scope: 'admin',
  tag: 'lora',
  operationId: 'deleteLora',
  summary: 'Detach the LoRA adapter',
  description:
    'Lookups answer the rows themselves again, and updates are accepted. The answer is sent when ' +
    'no lookup adds the adapter any more. Without an adapter nothing happens.',
  params: TableParams,
  query: NoQuery,
  response: { 204: emptyAnswer('The table has no adapter') },
  accepts: 'nothing',
  answers: [],
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ registry, writer }, { params: { table: name }, precondition, idempotencyKey, reply }) => {
    const request = hashRequest(['DELETE lora'])
    const { isReplay } = await changeTable({ writer, registry }, { name, idempotencyKey, request }, (key) =>
      writer.call('dropAdapter', { name, precondition, key }),
    )
    return sendNothing(reply, isReplay)
  },
})

const merge = defineRoute({
  method: 'POST',
  url: `${URL}/merge`,
  scope: 'admin',
  tag: 'lora',
  operationId: 'mergeLora',
  summary: 'Merge the LoRA adapter into the rows',
  description: `Makes a new version of the rows that lookups answer now, rounded to the dtype of the
table (half to even; int8 is quantised again), without an adapter and without optimizer state. It becomes
current at once, as by \`merge_and_unload\` of PEFT. The version before stays readable with its adapter as
long as \`keep_versions\` allows, and both need memory at the same time. The request is refused with
\`PRECONDITION_FAILED\` if there is no adapter, or if the table changes meanwhile.`,
  params: TableParams,
  query: NoQuery,
  response: { 200: TableInfoRef },
  accepts: 'nothing',
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL', 'NON_FINITE', 'MEMORY_QUOTA_EXCEEDED'],
  handler: async ({ registry, writer, lookups }, { params, precondition, idempotencyKey, reply }) => {
    const name = params.table
    const request = hashRequest(['merge'])
    const { result, isReplay } = await runOnce(
      writer,
      { key: idempotencyKey, resource: { kind: 'table', name } },
      () => request,
      (keyId) => {
        const checkWanted = (): void => checkConnected(reply)
        const merge = { precondition, key: toChangeKey(keyId, request), checkWanted }
        return mergeAdapter(writer, lookups.arena, registry.findTable(name), merge)
      },
    )
    return sendTableInfo(reply, result, isReplay)
  },
})

type Lora = Static<typeof LoraAnswer>

const describeLora = ({
  rank,
  alpha,
  dtype,
  bytes,
  attachedAt,
}: Pick<AdapterHandle, 'rank' | 'alpha' | 'dtype' | 'attachedAt'> & { bytes: number }): Lora['lora'] => ({
  rank,
  alpha,
  dtype,
  bytes,
  attached_at: new Date(attachedAt).toISOString(),
})

const sendLora = (reply: FastifyReply, answer: Lora): FastifyReply =>
  reply
    .headers(stateHeaders(answer.version, answer.sequence))
    .header('cache-control', 'no-cache')
    .send(answer)

/** `PUT`, `GET` and `DELETE /v1/tables/{table}/lora`, and `POST .../lora/merge`. */
export const loraRoutes: readonly Route[] = [get, put, remove, merge]
