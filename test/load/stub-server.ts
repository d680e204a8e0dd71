/** An in-process server with the routes that the load run uses, which can be made to answer incorrectly. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'
import { httpWire } from '../../load/wires/http-wire.ts'
import type { Target } from '../../load/peers/target.ts'

export interface StubTable {
  dim: number
  values: Float32Array
  sequence: number
}

export interface Stub {
  target: Target
  tables: Map<string, StubTable>
  /** The requests as `METHOD /path`, without those of the measurement. */
  seen: string[]
  /** A function that corrupts the rows of an answer before it is sent. */
  spoil: ((rows: Float32Array) => void) | undefined
  /** The status that answers every upload. */
  uploadStatus: number
}

const readBody = async (request: IncomingMessage): Promise<Buffer> => Buffer.concat(await request.toArray())

function send(response: ServerResponse, status: number, type: string, body: Buffer | string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) }).end(body)
}

function lookUp(
  stub: Stub,
  table: StubTable,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
): void {
  const binary = request.headers['content-type'] === 'application/octet-stream'
  const ids = binary
    ? Array.from({ length: body.length / 4 }, (_, index) => body.readInt32LE(index * 4))
    : (JSON.parse(body.toString()) as { indices: number[] }).indices
  const rows = Float32Array.from(
    ids.flatMap((id) => [...table.values.subarray(id * table.dim, (id + 1) * table.dim)]),
  )
  stub.spoil?.(rows)
  if (binary) return send(response, 200, 'application/octet-stream', Buffer.from(rows.buffer))
  const embeddings = ids.map((_, index) => [...rows.subarray(index * table.dim, (index + 1) * table.dim)])
  return send(response, 200, 'application/json', JSON.stringify({ embeddings }))
}

/** Applies gradients in JSON; other formats are not supported. */
function descend(table: StubTable, body: Buffer): number {
  const {
    indices,
    gradients,
    learning_rate: rate,
  } = JSON.parse(body.toString()) as { indices: number[]; gradients: number[][]; learning_rate: number }
  indices.forEach((id, position) => {
    for (let column = 0; column < table.dim; column++)
      table.values[id * table.dim + column] -= rate * gradients[position][column]
  })
  table.sequence += 1
  return new Set(indices).size
}

async function handle(stub: Stub, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url as string, 'http://127.0.0.1')
  const body = await readBody(request)
  const [, name, action] = /^\/v1\/tables\/([^/]+)(?:\/(\w+))?$/.exec(url.pathname) ?? []
  if (action === undefined) stub.seen.push(`${request.method} ${url.pathname}`)
  if (request.method === 'PUT') {
    const dim = Number(url.searchParams.get('dim'))
    stub.tables.set(name, {
      dim,
      values: Float32Array.from(
        new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.length)),
      ),
      sequence: 0,
    })
    return send(response, stub.uploadStatus, 'application/json', '{}')
  }
  const table = stub.tables.get(name)
  if (table === undefined) return send(response, 200, 'application/json', '{}')
  if (action === 'lookup') return lookUp(stub, table, request, body, response)
  if (action === 'gradients')
    return send(
      response,
      200,
      'application/json',
      `{"sequence":${table.sequence},"rows_updated":${descend(table, body)}}`,
    )
  return send(response, 200, 'application/json', '{}')
}

/** Starts a stub, which is closed at the end of the test. */
export async function startStub(): Promise<Stub> {
  const stub = { tables: new Map(), seen: [], spoil: undefined, uploadStatus: 201 } as unknown as Stub
  const server = createServer((request, response) => {
    // A client that stops early leaves unfinished requests.
    handle(stub, request, response).catch((error: unknown) => response.destroy(error as Error))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  stub.target = {
    name: 'gatherd',
    note: 'a stub',
    versions: '',
    role: 'gatherd',
    wire: httpWire,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pid: process.pid,
    supports: () => true,
    stop: async () => {},
  }
  return stub
}
