/** A service with a fast path, the requests that the fast path reads, and a parser of its answers. */

import { setImmediate as turn } from 'node:timers/promises'
import { putTable } from '../../helpers/writer.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { rowOf } from './servers.ts'
import { MemorySocket } from './socket.ts'

/** The size of the table `t`. */
export const ROWS = 100
export const DIM = 4

/** A service with a fast path. */
export interface FastPathService extends Service {
  /** Counts the requests that Fastify has handled, without those of `inject`. */
  byFastify: () => number
  /** Opens a connection in memory. */
  open: () => MemorySocket
}

/** Starts a service with the table `t`. */
export const startFastPath = async (): Promise<FastPathService> => {
  const service = await startService({ logLevel: 'silent', fastPath: true })
  const values = Array.from({ length: ROWS }, (_, row) => rowOf(row, DIM)).flat()
  await putTable(service.context.writer, { name: 't', rows: ROWS, dim: DIM, values })
  let count = 0
  service.app.server.on('request', () => count++)
  const sockets: MemorySocket[] = []
  const open = () => {
    const socket = new MemorySocket(service.app)
    sockets.push(socket)
    return socket
  }
  const close = () => {
    for (const socket of sockets) socket.destroy()
    return service.close()
  }
  return { ...service, byFastify: () => count, open, close }
}

/** Waits for everything that does not depend on a timeout. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 4; i++) await turn()
}

/** A lookup of raw ids that the fast path reads. */
export const request = (ids: readonly number[], { table = 't', query = '' } = {}): Buffer =>
  Buffer.concat([
    Buffer.from(
      `POST /v1/tables/${table}/lookup${query} HTTP/1.1\r\nHost: here\r\n` +
        'Content-Type: application/octet-stream\r\nAccept: application/octet-stream\r\n' +
        `Content-Length: ${ids.length * 4}\r\n\r\n`,
    ),
    Buffer.from(Int32Array.from(ids).buffer),
  ])

/** An update of the table `moved` that the fast path reads. */
export const updateRequest = (
  body: Buffer | string,
  { route = 'rows', type = 'application/json', query = '' } = {},
): Buffer => {
  const bytes = Buffer.from(body)
  const head =
    `POST /v1/tables/moved/${route}${query} HTTP/1.1\r\nHost: here\r\n` +
    `Content-Type: ${type}\r\nContent-Length: ${bytes.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

/** A lookup in JSON that accepts anything, and is answered in JSON. */
export const jsonRequest = (body: string, { table = 't', query = '' } = {}): Buffer =>
  Buffer.from(
    `POST /v1/tables/${table}/lookup${query} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n` +
      `Accept: */*\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )

/** A parsed answer of the service. */
export interface FastPathAnswer {
  status: number
  head: string
  /** The numbers of a raw answer; empty for others. */
  rows: number[]
  /** The value of a JSON answer; null for others. */
  json: unknown
}

/** Parses the answers in the bytes that the service has sent. */
export const answersOf = (sent: Buffer): FastPathAnswer[] => {
  const answers: FastPathAnswer[] = []
  for (let rest = sent; rest.length > 0; ) {
    const headEnd = rest.indexOf('\r\n\r\n') + 4
    const head = rest.toString('latin1', 0, headEnd)
    const end = headEnd + Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
    const body = rest.subarray(headEnd, end)
    const rows = head.includes('octet-stream')
      ? Array.from(new Float32Array(Uint8Array.from(body).buffer))
      : []
    const json: unknown = /json/.test(head) ? JSON.parse(body.toString()) : null
    answers.push({ status: Number(head.split(' ')[1]), head, rows, json })
    rest = rest.subarray(end)
  }
  return answers
}
/** The rows of the table `t` at these ids. */
export const rowsOf = (ids: readonly number[]): number[] => ids.flatMap((id) => rowOf(id, DIM))
