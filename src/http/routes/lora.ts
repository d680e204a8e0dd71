import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { parseContentDigest } from '../../formats/digest.ts'
import { adapterBytes } from '../../tables/adapter.ts'
import type { TableEntry } from '../../tables/registry.ts'
import { uploadAdapter } from '../../upload/adapter.ts'
import { mergeAdapter } from '../../upload/merge.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { FORMAT_MEDIA_TYPES, negotiateFormat, parsePrecondition } from '../negotiate.ts'
import { acceptBodies, acceptNoBody } from '../body/receive.ts'
import { LoraAnswer, LoraQuery } from '../schemas/lora.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'
import { stateHeaders } from '../answer/state-headers.ts'
import { sendTable } from './tables.ts'

type LoraRequest = FastifyRequest<{
  Params: Static<typeof TableParams>
  Querystring: Static<typeof LoraQuery>
}>

const PATH = '/v1/tables/:table/lora'

/** `PUT`, `GET` and `DELETE /v1/tables/{table}/lora`, and `POST .../lora/merge`. */
export const addLoraRoutes = (app: App, context: HttpContext): void => {
  const { registry, writer, lookups } = context
  app.get(PATH, { schema: describeGet }, (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    sendAdapter(reply, registry.find(request.params.table))
  })
  app.register(async (scope: App) => {
    acceptBodies(scope, [], 0, ['safetensors'])
    scope.put(PATH, { schema: describePut }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const created = await upload(context, request)
      return sendAdapter(created ? reply.status(201) : reply, registry.findTable(request.params.table))
    })
  })
  app.register(async (scope: App) => {
    acceptNoBody(scope)
    scope.delete(PATH, { schema: describeDelete }, async (request, reply) => {
      checkDeadline(request)
      const { table: name } = request.params
      registry.findTable(name)
      await writer.call('dropAdapter', { name, precondition: parsePrecondition(request.headers) })
      return reply.status(204).send()
    })
    scope.post(`${PATH}/merge`, { schema: describeMerge }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { table } = request.params
      await mergeAdapter(writer, lookups.arena, registry.findTable(table), parsePrecondition(request.headers))
      return sendTable(reply, registry.findTable(table))
    })
  })
}

const upload = ({ registry, writer, lookups }: HttpContext, request: LoraRequest): Promise<boolean> => {
  const { 'content-length': length, 'content-digest': digest } = request.headers
  return uploadAdapter(writer, lookups.arena, registry.findTable(request.params.table), {
    body: request.body as AsyncIterable<Uint8Array>,
    freesChunks: request.raw.socket instanceof Socket,
    contentLength: length === undefined ? undefined : Number(length),
    digest: digest === undefined ? undefined : parseContentDigest(String(digest)),
    alpha: request.query.alpha,
    precondition: parsePrecondition(request.headers),
  })
}

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

const describePut = {
  tags: ['lora'],
  summary: 'Attach a LoRA adapter',
  description: `From now on lookups of the current version answer \`E[i] + (alpha / r) * A[i] . B\`, in float32: arrays \`a\` [rows, r] and \`b\` [r, dim], and
\`alpha\`, in the query or as an array of one number. Another adapter takes the place of the one before. Bags pool adapted rows; rows that mode
\`fill\` makes up stay as they are. \`dtype=native\` is refused, \`attend\` too, and so is every update: the rows are what the adapter was trained on.
\`/data\` and \`/rows\` are the rows without it. A replacement of the table has no adapter. Attaching one is an update: the sequence, and so the ETag,
is one higher. Its memory counts against the quota.

\`\`\`python
import numpy as np, requests
from safetensors.numpy import save
# A PEFT embedding keeps both transposed: send lora_embedding_A["default"].T and lora_embedding_B["default"].T.
body = save({"a": np.ones((4, 2), np.float32), "b": np.ones((2, 3), np.float32)})
requests.put("http://127.0.0.1:8080/v1/tables/words/lora?alpha=16", data=body,
             headers={"content-type": "application/x-safetensors"}).raise_for_status()
\`\`\`

\`\`\`sh
curl -fsS http://127.0.0.1:8080/v1/tables/words/lora
curl -fsS -X DELETE http://127.0.0.1:8080/v1/tables/words/lora
\`\`\``,
  params: TableParams,
  querystring: LoraQuery,
  consumes: [FORMAT_MEDIA_TYPES.safetensors],
  body: BinaryAnswer,
  response: { 200: LoraAnswer, 201: LoraAnswer },
}

const describeGet = {
  tags: ['lora'],
  summary: 'Describe the LoRA adapter',
  description: 'That of the current version; `lora` is null when there is none.',
  params: TableParams,
  querystring: NoQuery,
  response: { 200: LoraAnswer },
}

const describeDelete = {
  tags: ['lora'],
  summary: 'Take the LoRA adapter off',
  description:
    'Lookups answer the rows as they are again, and updates are taken. Done when no lookup adds it any more; without an adapter nothing happens.',
  params: TableParams,
  querystring: NoQuery,
  response: { 204: emptyAnswer('There is none any more') },
}

const describeMerge = {
  tags: ['lora'],
  summary: 'Merge the LoRA adapter into the rows',
  description: `Makes a new version whose rows are what lookups answer now, rounded to the dtype of the table (half to even; int8 is quantised again), without
an adapter and without optimizer state, and current at once: as \`merge_and_unload\` of PEFT. The version before stays readable with its adapter as long as
\`keep_versions\` allows, and both need memory at the same time. \`PRECONDITION_FAILED\` when there is no adapter, or the table changes meanwhile.`,
  params: TableParams,
  querystring: NoQuery,
  response: { 200: TableInfoRef },
}
