import { setImmediate as turn } from 'node:timers/promises'
import { putTable } from '../../helpers/writer.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { rowOf } from './servers.ts'
import { MemorySocket } from './socket.ts'

/** Of the table `t`. */
export const ROWS = 100
export const DIM = 4

/** A service with a fast path, and what it takes to talk to it. */
export interface FastPathService extends Service {
  /** Requests that Fastify has seen, those of `inject` not counted. */
  byFastify: () => number
  /** A connection in memory. */
  open: () => MemorySocket
}

/** Starts one with a table `t`. */
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

/** Long enough for everything that does not wait for a clock. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 4; i++) await turn()
}

/** A lookup as the fast path takes it. */
export const request = (ids: readonly number[], { table = 't', query = '' } = {}): Buffer =>
  Buffer.concat([
    Buffer.from(
      `POST /v1/tables/${table}/lookup${query} HTTP/1.1\r\nHost: here\r\nContent-Type: application/octet-stream\r\n` +
        `Accept: application/octet-stream\r\nContent-Length: ${ids.length * 4}\r\n\r\n`,
    ),
    Buffer.from(Int32Array.from(ids).buffer),
  ])

/** An update of table `moved` as the fast path takes it. */
export const updateRequest = (
  body: Buffer | string,
  { route = 'rows', type = 'application/json', query = '' } = {},
): Buffer => {
  const bytes = Buffer.from(body)
  const head = `POST /v1/tables/moved/${route}${query} HTTP/1.1\r\nHost: here\r\nContent-Type: ${type}\r\nContent-Length: ${bytes.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), bytes])
}

/** A lookup that asks in JSON, and wants JSON. */
export const jsonRequest = (body: string, { table = 't', query = '' } = {}): Buffer =>
  Buffer.from(
    `POST /v1/tables/${table}/lookup${query} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n` +
      `Accept: */*\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )

/** An answer; `rows` where it is one in octets. */
export interface FastPathAnswer {
  status: number
  head: string
  rows: number[]
  /** Where it is JSON. */
  json: unknown
}

/** The answers among the bytes that came back. */
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
/** The rows of these ids. */
export const rowsOf = (ids: readonly number[]): number[] => ids.flatMap((id) => rowOf(id, DIM))
