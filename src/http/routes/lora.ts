import type { FastifyReply } from 'fastify'
import type { Static } from 'typebox'
import { adapterBytes } from '../../tables/adapter.ts'
import type { TableEntry } from '../../tables/registry.ts'
import { uploadAdapter } from '../../upload/adapter.ts'
import { mergeAdapter } from '../../upload/merge.ts'
import { stateHeaders } from '../answer/send-answer.ts'
import { announcedBody } from '../body/body-stream.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { NAMED_ARRAYS_FORMATS } from '../negotiate.ts'
import { LoraAnswer, LoraQuery } from '../schemas/lora.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'
import { sendTable } from './tables.ts'

const URL = '/v1/tables/:table/lora'

const get = defineRoute({
  method: 'GET',
  url: URL,
  scope: 'read',
  tag: 'lora',
  summary: 'Describe the LoRA adapter',
  description: 'That of the current version; `lora` is null when there is none.',
  params: TableParams,
  query: NoQuery,
  response: { 200: LoraAnswer },
  answers: ['json'],
  answersState: true,
  errors: ['TABLE_NOT_FOUND', 'VERSION_NOT_FOUND'],
  handler: ({ registry }, { params, reply }) => {
    sendAdapter(reply, registry.find(params.table))
  },
})

const put = defineRoute({
  method: 'PUT',
  url: URL,
  scope: 'admin',
  tag: 'lora',
  summary: 'Attach a LoRA adapter',
  description: `From now on lookups of the current version answer \`E[i] + (alpha / r) * A[i] . B\`, in
float32: arrays \`a\` [rows, r] and \`b\` [r, dim], and \`alpha\`, in the query or as an array of one
number. Another adapter takes the place of the one before. Bags pool adapted rows; rows that mode \`fill\`
makes up stay as they are. \`dtype=native\` is refused, \`attend\` too, and so is every update: the rows are
what the adapter was trained on. \`/data\` and \`/rows\` are the rows without it. A replacement of the table
has no adapter. Attaching one is an update: the sequence, and so the ETag, is one higher. Its memory counts
against the quota.

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
  verifiesDigest: true,
  errors: [
    'TABLE_NOT_FOUND',
    'DISK_FULL',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
    'DIGEST_MISMATCH',
    'MEMORY_QUOTA_EXCEEDED',
  ],
  handler: async (
    { registry, writer, lookups },
    { params, query, body, bodyFormat, digest, precondition, request, reply },
  ) => {
    const created = await uploadAdapter(writer, lookups.arena, registry.findTable(params.table), {
      ...announcedBody(request),
      format: bodyFormat,
      body,
      digest,
      alpha: query.alpha,
      precondition,
    })
    return sendAdapter(created ? reply.status(201) : reply, registry.findTable(params.table))
  },
})

const remove = defineRoute({
  method: 'DELETE',
  url: URL,
  scope: 'admin',
  tag: 'lora',
  summary: 'Take the LoRA adapter off',
  description:
    'Lookups answer the rows as they are again, and updates are taken. ' +
    'Done when no lookup adds it any more; without an adapter nothing happens.',
  params: TableParams,
  query: NoQuery,
  response: { 204: emptyAnswer('There is none any more') },
  accepts: 'nothing',
  answers: [],
  deadline: true,
  conditional: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ registry, writer }, { params, precondition, reply }) => {
    registry.findTable(params.table)
    await writer.call('dropAdapter', { name: params.table, precondition })
    return reply.status(204).send()
  },
})

const merge = defineRoute({
  method: 'POST',
  url: `${URL}/merge`,
  scope: 'admin',
  tag: 'lora',
  summary: 'Merge the LoRA adapter into the rows',
  description: `Makes a new version whose rows are what lookups answer now, rounded to the dtype of the
table (half to even; int8 is quantised again), without an adapter and without optimizer state, and current
at once: as \`merge_and_unload\` of PEFT. The version before stays readable with its adapter as long as
\`keep_versions\` allows, and both need memory at the same time. \`PRECONDITION_FAILED\` when there is no
adapter, or the table changes meanwhile.`,
  params: TableParams,
  query: NoQuery,
  response: { 200: TableInfoRef },
  accepts: 'nothing',
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  errors: ['TABLE_NOT_FOUND', 'DISK_FULL', 'NON_FINITE', 'MEMORY_QUOTA_EXCEEDED'],
  handler: async ({ registry, writer, lookups }, { params: { table }, precondition, reply }) => {
    await mergeAdapter(writer, lookups.arena, registry.findTable(table), precondition)
    return sendTable(reply, registry.findTable(table))
  },
})

const sendAdapter = (reply: FastifyReply, { record, current, adapters }: TableEntry): FastifyReply => {
  const { version, dim } = current.handle
  const adapter = adapters.get(version)?.handle
  const sequence = current.readSequence()
  const lora = adapter && {
    rank: adapter.rank,
    alpha: adapter.alpha,
    dtype: adapter.dtype,
    bytes: adapterBytes(adapter, dim),
    attached_at: new Date(adapter.attachedAt).toISOString(),
  }
  const answer: Static<typeof LoraAnswer> = { table: record.name, version, sequence, lora: lora ?? null }
  return reply.headers(stateHeaders(version, sequence)).header('cache-control', 'no-cache').send(answer)
}

/** `PUT`, `GET` and `DELETE /v1/tables/{table}/lora`, and `POST .../lora/merge`. */
export const loraRoutes: readonly Route[] = [get, put, remove, merge]
