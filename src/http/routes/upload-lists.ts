/** The routes that list and describe uploads in parts. */
import { LIMITS } from '../../core/limits.ts'
import { findUpload, listUploads } from '../../upload/staging/uploads.ts'
import { describeUpload } from '../body/staged-upload.ts'
import { defineRoute, type Route } from '../define-route.ts'
import { NoQuery, TableParams } from '../schemas/table.ts'
import { UploadInfoRef, UploadParams, UploadsAnswer } from '../schemas/uploads.ts'

const URL = '/v1/tables/:table/uploads'

const list = defineRoute({
  method: 'GET',
  url: URL,
  scope: 'admin',
  tag: 'uploads',
  operationId: 'listUploads',
  summary: 'List open uploads',
  description: 'Lists the open uploads of one table, which need not exist yet.',
  params: TableParams,
  query: NoQuery,
  response: { 200: UploadsAnswer },
  answers: ['json'],
  errors: [],
  handler: async ({ staging }, { params, reply }) => {
    const states = await listUploads(staging, params.table)
    return reply.header('cache-control', 'no-store').send({ uploads: states.map(describeUpload) })
  },
})

const listAll = defineRoute({
  method: 'GET',
  url: '/v1/uploads',
  scope: 'admin',
  tag: 'uploads',
  operationId: 'listAllUploads',
  summary: 'List the open uploads of all tables',
  description: `There may be ${LIMITS.uploadCountMax}, and ${LIMITS.uploadTableCountMax} of one table. Beyond
that, the oldest without activity for an hour gives way to a new one.`,
  query: NoQuery,
  response: { 200: UploadsAnswer },
  answers: ['json'],
  errors: [],
  handler: async ({ staging }, { reply }) => {
    const states = await listUploads(staging)
    return reply.header('cache-control', 'no-store').send({ uploads: states.map(describeUpload) })
  },
})

const get = defineRoute({
  method: 'GET',
  url: `${URL}/:upload`,
  scope: 'admin',
  tag: 'uploads',
  operationId: 'getUpload',
  summary: 'Describe an upload',
  description: 'Lists the parts that have arrived, so that only the others need to be sent.',
  params: UploadParams,
  query: NoQuery,
  response: { 200: UploadInfoRef },
  answers: ['json'],
  errors: ['UPLOAD_NOT_FOUND'],
  handler: async ({ staging }, { params: { table, upload }, reply }) =>
    reply.header('cache-control', 'no-store').send(describeUpload(await findUpload(staging, table, upload))),
})

/** `GET /v1/uploads`, and `GET` of the uploads of a table. */
export const uploadListRoutes: readonly Route[] = [listAll, list, get]
