import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { driveClosedLoop } from '../../load/wires/closed-loop.ts'
import type { PreparedRequest, RunMeasure } from '../../load/measure/meter.ts'
import { httpWire, makeAnswerReader } from '../../load/wires/http-wire.ts'
import { driveOpenLoop } from '../../load/wires/open-loop.ts'
import { encodeRequest } from '../../load/wires/requests.ts'

const ANSWER_BYTES = 100

async function listen(handle: RequestListener): Promise<string> {
  const server = createServer((request, response) => {
    request.resume()
    request.once('end', () => handle(request, response))
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  onTestFinished(() => server.closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const answering =
  (status: number, bytes: number): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, { 'content-length': bytes }).end(Buffer.alloc(bytes))

function makeRequests(count: number): PreparedRequest[] {
  return Array.from({ length: count }, (_, index) => ({
    bytes: encodeRequest('127.0.0.1', `/${index}`, {}, Buffer.from(`request ${index}`)),
    answerBytesMin: ANSWER_BYTES,
    answerBytesMax: ANSWER_BYTES,
  }))
}

const SETTINGS = {
  wire: httpWire,
  connectionCount: 2,
  rowCount: 8,
  warmupSeconds: 0.05,
  seconds: 0.3,
  pid: process.pid,
}

const LOOPS: [string, (url: string, polls?: boolean) => Promise<RunMeasure>][] = [
  ['closed', (url, polls = false) => driveClosedLoop({ ...SETTINGS, url, polls, requests: makeRequests(5) })],
  [
    'open',
    (url, polls = false) =>
      driveOpenLoop({ ...SETTINGS, url, polls, requests: makeRequests(5), ratePerSecond: 300 }),
  ],
]

describe.each(LOOPS)('the %s loop', (_name, drive) => {
  test('counts correct answers and their time', async () => {
    const url = await listen(answering(200, ANSWER_BYTES))
    const run = await drive(url)
    expect(run.requestCount).toBeGreaterThan(0)
    expect(run.rowsPerSecond).toBeCloseTo(run.requestsPerSecond * 8)
    expect(run.p50Us).toBeGreaterThan(0)
    expect(run.maxUs).toBeGreaterThanOrEqual(run.p99Us)
    expect(run.serverRssBytes).toBeGreaterThan(0)
  })

  test('does the same while polling', async () => {
    const url = await listen(answering(200, ANSWER_BYTES))
    const run = await drive(url, true)
    expect(run.requestCount).toBeGreaterThan(0)
    expect(run.clientCores).toBeGreaterThanOrEqual(0)
  })

  test('sends all requests in rotation, each with its body', async () => {
    const paths = new Set<string>()
    const url = await listen((request, response) => {
      paths.add(`${request.url} ${request.headers['content-length']}`)
      answering(200, ANSWER_BYTES)(request, response)
    })
    await drive(url)
    expect([...paths].sort()).toEqual(['/0 9', '/1 9', '/2 9', '/3 9', '/4 9'])
  })

  test('stops at an answer of the wrong length', async () => {
    const url = await listen(answering(200, ANSWER_BYTES - 1))
    await expect(drive(url)).rejects.toMatchObject({
      name: 'WrongAnswer',
      message: 'status 200 with 99 bytes, expected 200 with 100',
    })
  })

  test('stops at an answer with the wrong status', async () => {
    const url = await listen(answering(503, ANSWER_BYTES))
    await expect(drive(url)).rejects.toMatchObject({
      name: 'WrongAnswer',
      message: 'status 503 with 100 bytes, expected 200 with 100',
    })
  })

  test('stops when nothing listens', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => void server.close(resolve))
    await expect(drive(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('the answer parser', () => {
  const bytes = Buffer.from(
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n',
  )

  test.each([1, 2, 7, 38, 43])('finds both answers in pieces of %i bytes', (pieceBytes) => {
    const answers: [number, number][] = []
    const read = makeAnswerReader((status, bodyBytes) => answers.push([status, bodyBytes]))
    const first = bytes.subarray(0, 43)
    for (const message of [first, bytes.subarray(43)]) {
      for (let offset = 0; offset < message.length; offset += pieceBytes)
        read(message.subarray(offset, offset + pieceBytes))
    }
    expect(answers).toEqual([
      [200, 5],
      [404, 0],
    ])
  })

  test('refuses an answer without a length', () => {
    const read = makeAnswerReader(() => {})
    expect(() => read(Buffer.from('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'))).toThrow(
      'without Content-Length',
    )
  })
})
