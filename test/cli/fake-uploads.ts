/**
 * A fake of the upload routes that can answer with errors or break connections on demand, for tests of
 * resumable uploads.
 */

import { createHash, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import type { UploadInfo } from '../../src/cli/resumable.ts'

/** The fault that the fake answers a call with: an error status, or a connection that breaks. */
export type Fault = number | 'break'

interface FakeUpload {
  info: UploadInfo
  parts: Map<number, Buffer>
}

/** A running fake; it records every call. */
export interface FakeService {
  url: string
  /** `PUT parts/3` and the like, in order. */
  calls: string[]
  uploads: Map<string, FakeUpload>
  /** How many calls it is answering. */
  openCount: () => number
  /** The bytes that were committed last. */
  committed: () => Buffer | null
  close: () => Promise<void>
}

const digestOf = (bytes: Buffer): string => `sha-256=:${createHash('sha256').update(bytes).digest('base64')}:`

/**
 * Starts a fake. `faultOf` chooses the fault of a call; null lets the call through. `pause` is what it does
 * before each answer.
 */
export const startFakeService = async (
  faultOf: (call: string) => Fault | null = () => null,
  pause: () => Promise<unknown> = async () => {},
): Promise<FakeService> => {
  const uploads = new Map<string, FakeUpload>()
  const calls: string[] = []
  let committed: Buffer | null = null
  let openCount = 0

  const begin = (body: Buffer): UploadInfo => {
    const { content_type, bytes, digest, ...parameters } = JSON.parse(body.toString()) as UploadInfo &
      UploadInfo['parameters']
    const info = { upload: randomUUID(), content_type, bytes, digest, parameters, parts: [] } as UploadInfo
    uploads.set(info.upload, { info, parts: new Map() })
    return info
  }
  const describe = ({ info, parts }: FakeUpload): UploadInfo => ({
    ...info,
    parts: [...parts].map(([part, bytes]) => ({ part, bytes: bytes.length, digest: digestOf(bytes) })),
  })
  const commit = (upload: FakeUpload): [number, unknown] => {
    const whole = Buffer.concat([...upload.parts].sort(([a], [b]) => a - b).map(([, bytes]) => bytes))
    if (digestOf(whole) !== upload.info.digest)
      return [422, { code: 'DIGEST_MISMATCH', detail: 'not the announced bytes' }]
    committed = whole
    uploads.delete(upload.info.upload)
    return [201, { name: 'user', version: 1, rows: 1, dim: 1, dtype: 'float32' }]
  }
  const putPart = (upload: FakeUpload, part: number, body: Buffer, digest: string): [number, unknown] => {
    if (digestOf(body) !== digest)
      return [422, { code: 'DIGEST_MISMATCH', detail: 'not the announced bytes' }]
    upload.parts.set(part, body)
    return [200, { part, bytes: body.length, digest }]
  }

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, id, rest = ''] = /^\/v1\/tables\/user\/uploads\/?([^/]*)\/?(.*)$/.exec(request.url ?? '') ?? []
    const call = `${request.method} ${rest === '' ? 'uploads' : rest}`
    calls.push(call)
    openCount++
    const fault = faultOf(call)
    if (fault === 'break') {
      openCount--
      return void request.socket.destroy()
    }
    const body = await buffer(request)
    const upload = uploads.get(id ?? '')
    let result: [number, unknown] = [404, { code: 'ROUTE_NOT_FOUND', detail: 'nothing is there' }]
    if (fault !== null) result = [fault, { code: 'FAULT', detail: 'a fault of the test' }]
    else if (call === 'GET uploads') result = [200, { uploads: [...uploads.values()].map(describe) }]
    else if (call === 'POST uploads') result = [201, begin(body)]
    else if (upload !== undefined && call === 'POST commit') result = commit(upload)
    else if (upload !== undefined)
      result = putPart(upload, Number(rest.split('/')[1]), body, String(request.headers['content-digest']))
    await pause()
    openCount--
    response.writeHead(result[0], { 'content-type': 'application/json' }).end(JSON.stringify(result[1]))
  }
  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    uploads,
    openCount: () => openCount,
    committed: () => committed,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
