import { Socket } from 'node:net'
import { LIMITS } from '../../core/limits.ts'
import { parseContentDigest } from '../../formats/digest.ts'
import { receivePart } from '../../upload/staging/receive-part.ts'
import {
  createUpload,
  findOpenUpload,
  findUpload,
  listUploads,
  removeUpload,
} from '../../upload/staging/uploads.ts'
import type { App, HttpContext } from '../context.ts'
import { checkDeadline } from '../deadline.ts'
import { negotiateFormat, parsePrecondition } from '../negotiate.ts'
import { acceptAnyBody, acceptBodies, acceptNoBody } from '../body/receive.ts'
import { BinaryAnswer, emptyAnswer } from '../schemas/scalars.ts'
import { NoQuery, TableInfoRef, TableParams } from '../schemas/table.ts'
import {
  PartAnswer,
  PartParams,
  UploadBegin,
  UploadInfoRef,
  UploadParams,
  UploadsAnswer,
} from '../schemas/uploads.ts'
import { commitStaged, describePart, describeUpload, readUploadBegin } from '../body/staged-upload.ts'
import { sendStored } from '../body/table-body.ts'

const PATH = '/v1/tables/:table/uploads'

/** `/v1/tables/{table}/uploads`: a table in parts, which are sent in any order and as often as the network needs. */
export const addUploadRoutes = (app: App, context: HttpContext): void => {
  const { staging } = context
  addReadingRoutes(app, context)
  app.register(async (scope: App) => {
    acceptBodies(scope, ['json'], LIMITS.specificationBodyBytesMax)
    scope.post(PATH, { schema: describeBegin }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { table } = request.params
      context.registry.refuseAlias(table)
      const state = await createUpload(staging, readUploadBegin(request.body as Buffer, table))
      reply.status(201).header('location', `/v1/tables/${table}/uploads/${state.upload.id}`)
      return reply.header('cache-control', 'no-store').send(describeUpload(state))
    })
  })
  app.register(async (scope: App) => {
    acceptAnyBody(scope)
    scope.put(`${PATH}/:upload/parts/:part`, { schema: describeReceive }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { 'content-length': length, 'content-digest': digest } = request.headers
      const { table, upload: id, part } = request.params
      const received = await receivePart(staging, await findOpenUpload(staging, table, id), Number(part), {
        chunks: request.body as unknown as AsyncIterable<Uint8Array>,
        // As in a PUT: what comes from a socket is a copy made for us.
        freesChunks: request.raw.socket instanceof Socket,
        contentLength: length === undefined ? undefined : Number(length),
        digest: digest === undefined ? undefined : parseContentDigest(String(digest)),
      })
      return reply.header('cache-control', 'no-store').send(describePart(received))
    })
  })
  app.register(async (scope: App) => {
    acceptNoBody(scope)
    scope.delete(`${PATH}/:upload`, { schema: describeDelete }, async (request, reply) => {
      checkDeadline(request)
      await removeUpload(staging, request.params.table, request.params.upload)
      return reply.status(204).send()
    })
    scope.post(`${PATH}/:upload/commit`, { schema: describeCommit }, async (request, reply) => {
      checkDeadline(request)
      negotiateFormat(request.headers.accept, ['json'])
      const { table, upload } = request.params
      return sendStored(reply, await commitStaged(context, table, upload, parsePrecondition(request.headers)))
    })
  })
}

const addReadingRoutes = (app: App, { staging }: HttpContext): void => {
  app.get(PATH, { schema: describeList }, async (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    const states = await listUploads(staging, request.params.table)
    return reply.header('cache-control', 'no-store').send({ uploads: states.map(describeUpload) })
  })
  app.get(`${PATH}/:upload`, { schema: describeGet }, async (request, reply) => {
    negotiateFormat(request.headers.accept, ['json'])
    const { table, upload } = request.params
    return reply
      .header('cache-control', 'no-store')
      .send(describeUpload(await findUpload(staging, table, upload)))
  })
}

const describeBegin = {
  tags: ['uploads'],
  summary: 'Begin an upload in parts',
  description: `For tables that are too large, or networks that are too bad, for one PUT. Says what a PUT says in its headers and its query; the parts follow in any
order, \`commit\` makes the table of them. The upload is there until ${LIMITS.uploadAgeMsMax / 3_600_000} hours have passed without a part, also across restarts.

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
  querystring: NoQuery,
  body: UploadBegin,
  response: { 201: UploadInfoRef },
}

const describeReceive = {
  tags: ['uploads'],
  summary: 'Send a part',
  description: `Parts are numbered from 0 or from 1 and may come in any order, several at once, and again: the last whole one counts. A part that is cut
short leaves nothing. \`Content-Digest\` is verified. One part has at most ${LIMITS.uploadPartBytesMax} bytes; any Content-Type will do.

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
  querystring: NoQuery,
  consumes: ['application/octet-stream'],
  body: BinaryAnswer,
  response: { 200: PartAnswer },
}

const describeList = {
  tags: ['uploads'],
  summary: 'List open uploads',
  description: 'Those of one table, which need not exist.',
  params: TableParams,
  querystring: NoQuery,
  response: { 200: UploadsAnswer },
}

const describeGet = {
  tags: ['uploads'],
  summary: 'Describe an upload',
  description: 'Says which parts are there, so that only the others need to be sent.',
  params: UploadParams,
  querystring: NoQuery,
  response: { 200: UploadInfoRef },
}

const describeDelete = {
  tags: ['uploads'],
  summary: 'Give an upload up',
  description: 'Its parts are removed. A table that was made of them stays.',
  params: UploadParams,
  querystring: NoQuery,
  response: { 204: emptyAnswer('It is gone') },
}

const describeCommit = {
  tags: ['uploads'],
  summary: 'Make the table',
  description: `As a PUT of all parts, in the order of their numbers: the same checks, the same answer, \`If-Match\` and \`If-None-Match\` too. When it is refused
the parts stay, so that what is wrong can be sent again; when it is done they are gone. Safe to repeat: once it is done, the same answer comes again.
\`INVALID_REQUEST\` when numbers are missing or the total is not the announced one, \`IDEMPOTENCY_IN_FLIGHT\` while it is being done.`,
  params: UploadParams,
  querystring: NoQuery,
  response: { 200: TableInfoRef, 201: TableInfoRef },
}
