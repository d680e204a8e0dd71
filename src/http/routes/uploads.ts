/** The routes of uploads in parts. */
import { hash } from 'node:crypto'
import { LIMITS } from '../../core/limits.ts'
import { receivePart } from '../../upload/staging/receive-part.ts'
import { createUpload, findOpenUpload, removeUpload } from '../../upload/staging/uploads.ts'
import { hashRequest, runOnce, storeKey, toChangeKey } from '../../update/run-once.ts'
import { markReplay, sendNothing } from '../answer/send-table.ts'
import { announcedBody } from '../body/body-stream.ts'
import { commitStaged, describePart, describeUpload, readUploadBegin } from '../body/staged-upload.ts'
import { sendStored } from '../body/table-body.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'
import { PartAnswer, PartParams, UploadBegin, UploadInfoRef, UploadParams } from '../schemas/uploads.ts'
import { uploadListRoutes } from './upload-lists.ts'

const URL = '/v1/tables/:table/uploads'

const begin = defineRoute({
  method: 'POST',
  url: URL,
  scope: 'admin',
  tag: 'uploads',
  operationId: 'beginUpload',
  summary: 'Begin an upload in parts',
  description: `Meant for tables that are too large, or networks that are too unreliable, for one PUT. The
body has the headers and the query of that PUT as members. The parts follow in any order, and \`commit\`
makes the table of them. The upload is kept until ${LIMITS.uploadAgeMsMax / 3_600_000} hours have passed
without a part, also across restarts.

\`\`\`sh
head -c 48 /dev/zero > words.f32
split -d -a 4 -b 16 words.f32 words.part.
url=http://127.0.0.1:8080/v1/tables/words/uploads
id=$(curl -fsS $url -H 'content-type: application/json' \\
  -d '{"content_type":"application/octet-stream","rows":4,"dim":3}' | sed -E 's/.*"upload":"([^"]+)".*/\\1/')
for i in 0 1 2; do
  curl -fsS --retry 9 --retry-all-errors -T words.part.000$i $url/$id/parts/$i
done
curl -fsS -X POST $url/$id/commit
\`\`\``,
  params: TableParams,
  query: NoQuery,
  bodySchema: UploadBegin,
  response: { 201: UploadInfoRef },
  accepts: { whole: ['json'] },
  bodyBytesMax: LIMITS.specificationBodyBytesMax,
  answers: ['json'],
  deadline: true,
  idempotent: true,
  errors: ['SHAPE_MISMATCH', 'DTYPE_MISMATCH', 'NON_FINITE', 'DISK_FULL'],
  handler: async ({ registry, staging, writer }, { params: { table }, body, idempotencyKey, reply }) => {
    const request = hashRequest(['begin'], hash('sha256', body, 'buffer'))
    const { result, isReplay } = await runOnce(
      writer,
      { key: idempotencyKey, resource: { kind: 'table', name: table } },
      () => request,
      async (keyId) => {
        registry.refuseAlias(table)
        const begun = describeUpload(await createUpload(staging, readUploadBegin(body, table)))
        await storeKey(writer, toChangeKey(keyId, request), begun)
        return begun
      },
    )
    reply.status(201).header('location', `/v1/tables/${table}/uploads/${result.upload}`)
    return reply.header('cache-control', 'no-store').send(markReplay(reply, result, isReplay))
  },
})

const receive = defineRoute({
  method: 'PUT',
  url: `${URL}/:upload/parts/:part`,
  scope: 'admin',
  tag: 'uploads',
  operationId: 'putUploadPart',
  summary: 'Send a part',
  description: `Parts are numbered from 0 or from 1. They may be sent in any order, several at once, and
again: the last complete one counts. An incomplete part is discarded. \`Content-Digest\` is verified. A part
has at most ${LIMITS.uploadPartBytesMax} bytes; any Content-Type is accepted.

\`\`\`sh
url=http://127.0.0.1:8080/v1/tables/words/uploads
id=$(curl -fsS $url -H 'content-type: application/json' \\
  -d '{"content_type":"application/octet-stream","rows":4,"dim":3}' | sed -E 's/.*"upload":"([^"]+)".*/\\1/')
head -c 48 /dev/zero > words.f32
curl -fsS --retry 9 --retry-all-errors -T words.f32 $url/$id/parts/0
curl -fsS -X POST $url/$id/commit
\`\`\`

\`\`\`python
import io, numpy as np, requests
body = io.BytesIO()
np.save(body, np.ones((4, 3), np.float32))
begun = requests.post("http://127.0.0.1:8080/v1/tables/words/uploads", json={"content_type": "application/x-npy"})
upload = f"http://127.0.0.1:8080{begun.headers['location']}"
size = 64                # 64 * 2**20 for a large table
for number in range(0, -(-len(body.getvalue()) // size)):
    part = body.getvalue()[number * size : (number + 1) * size]
    requests.put(f"{upload}/parts/{number}", data=part).raise_for_status()
requests.post(f"{upload}/commit").raise_for_status()
\`\`\``,
  params: PartParams,
  query: NoQuery,
  bodySchema: BinaryAnswer,
  response: { 200: PartAnswer },
  accepts: 'bytes',
  answers: ['json'],
  deadline: true,
  verifiesDigest: true,
  errors: ['UPLOAD_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ staging }, { params, body: chunks, digest, request, reply }) => {
    const { table, upload: id, part } = params
    const upload = await findOpenUpload(staging, table, id)
    const source = { ...announcedBody(request), chunks, digest }
    const received = await receivePart(staging, upload, Number(part), source)
    return reply.header('cache-control', 'no-store').send(describePart(received))
  },
})

const remove = defineRoute({
  method: 'DELETE',
  url: `${URL}/:upload`,
  scope: 'admin',
  tag: 'uploads',
  operationId: 'abortUpload',
  summary: 'Abort an upload',
  description: 'Its parts are removed. A table that was made of them stays.',
  params: UploadParams,
  query: NoQuery,
  response: { 204: emptyAnswer('The upload is deleted') },
  accepts: 'nothing',
  answers: [],
  deadline: true,
  idempotent: true,
  errors: ['UPLOAD_NOT_FOUND', 'DISK_FULL'],
  handler: async ({ staging, writer }, { params: { table, upload }, idempotencyKey, reply }) => {
    const request = hashRequest(['DELETE upload', upload])
    const { isReplay } = await runOnce(
      writer,
      { key: idempotencyKey, resource: { kind: 'table', name: table } },
      () => request,
      async (keyId) => {
        await removeUpload(staging, table, upload)
        await storeKey(writer, toChangeKey(keyId, request), null)
        return null
      },
    )
    return sendNothing(reply, isReplay)
  },
})

const commit = defineRoute({
  method: 'POST',
  url: `${URL}/:upload/commit`,
  scope: 'admin',
  tag: 'uploads',
  operationId: 'commitUpload',
  summary: 'Make the table of the parts',
  description: `Does what one PUT of all parts in the order of their numbers would do, with the same
checks, the same answer, \`If-Match\` and \`If-None-Match\`. If it is refused, the parts stay, so that wrong
ones can be sent again; if it succeeds, they are removed. It can be repeated safely: after a success it
gives the same answer again. It is refused with \`INVALID_REQUEST\` if numbers are missing or the total is
not the announced one, and with \`IDEMPOTENCY_IN_FLIGHT\` while another commit of the upload runs.`,
  params: UploadParams,
  query: NoQuery,
  response: { 200: TableInfoRef, 201: TableInfoRef },
  accepts: 'nothing',
  answers: ['json'],
  answersState: true,
  deadline: true,
  conditional: true,
  idempotent: true,
  errors: [
    'MALFORMED_BODY',
    'UPLOAD_NOT_FOUND',
    'SHAPE_MISMATCH',
    'DTYPE_MISMATCH',
    'NON_FINITE',
    'DIGEST_MISMATCH',
    'MEMORY_QUOTA_EXCEEDED',
    'DISK_FULL',
  ],
  handler: async (context, { params: { table, upload }, precondition, idempotencyKey, reply }) => {
    const request = hashRequest(['commit', upload])
    const { result, isReplay } = await runOnce(
      context.writer,
      { key: idempotencyKey, resource: { kind: 'table', name: table } },
      () => request,
      (keyId) => commitStaged(context, table, upload, { precondition, key: toChangeKey(keyId, request) }),
    )
    return sendStored(reply, result, isReplay)
  },
})

/**
 * `/v1/uploads` and `/v1/tables/{table}/uploads`: a table in parts, sent in any order and as often as the
 * network needs.
 */
export const uploadRoutes: readonly Route[] = [...uploadListRoutes, begin, receive, remove, commit]
