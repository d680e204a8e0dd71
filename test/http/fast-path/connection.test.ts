import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  answersOf,
  DIM,
  type FastPathService,
  request,
  ROWS,
  rowsOf,
  settle,
  startFastPath,
} from './fast-path-service.ts'

let service: FastPathService

describe('A connection in the fast path', () => {
  beforeAll(async () => {
    service = await startFastPath()
  })
  afterAll(() => service.close())
  let before: number
  beforeEach(() => {
    before = service.byFastify()
  })

  test('is answered without Fastify, request after request', async () => {
    const socket = service.open()
    for (const ids of [[3, 1], [0], [7, 7, 7]]) {
      socket.push(request(ids))
      await turn()
      expect(answersOf(socket.sent).at(-1)).toMatchObject({ status: 200, rows: rowsOf(ids) })
    }
    expect(answersOf(socket.sent)).toHaveLength(3)
    expect(service.byFastify() - before).toBe(0)
  })

  test('is answered in the order of its pipelined requests', async () => {
    const socket = service.open()
    const batches = Array.from({ length: 20 }, (_, i) => Array.from({ length: i + 1 }, (_, k) => i + k))
    socket.push(Buffer.concat(batches.map((ids) => request(ids))))
    await settle()
    expect(answersOf(socket.sent).map(({ rows }) => rows)).toEqual(batches.map(rowsOf))
    expect(service.byFastify() - before).toBe(0)
  })

  test('may send a body in pieces after its head, with the next request right behind it', async () => {
    const socket = service.open()
    const ids = Array.from({ length: 50 }, (_, i) => i)
    const bytes = Buffer.concat([request(ids), request([9])])
    for (const [from, to] of [
      [0, bytes.indexOf('\r\n\r\n') + 4],
      [bytes.indexOf('\r\n\r\n') + 4, 200],
      [200, bytes.length],
    ]) {
      socket.push(bytes.subarray(from, to))
      await turn()
    }
    expect(answersOf(socket.sent).map(({ rows }) => rows)).toEqual([rowsOf(ids), rowsOf([9])])
    expect(service.byFastify() - before).toBe(0)
  })

  test('is handed to Fastify with its first other request, and stays there', async () => {
    const socket = service.open()
    socket.push(
      Buffer.concat([request([1]), Buffer.from('GET /livez HTTP/1.1\r\nHost: here\r\n\r\n'), request([2])]),
    )
    await settle()
    socket.push(request([3]))
    await settle()
    expect(answersOf(socket.sent).map(({ status, rows }) => [status, rows])).toEqual([
      [200, rowsOf([1])],
      [200, []],
      [200, rowsOf([2])],
      [200, rowsOf([3])],
    ])
    expect(service.byFastify() - before).toBe(3)
  })

  test.each<[string, Buffer, number]>([
    ['an id outside the table', request([ROWS]), 422],
    ['a table that does not exist', request([1], { table: 'gone' }), 404],
    ['a version that does not exist', request([1], { query: '?version=7' }), 404],
    ['a shape that does not fit', request([1], { query: '?shape=2' }), 422],
    [
      'a body that ends inside a number',
      Buffer.from(request([1]).toString('latin1').replace('Length: 4', 'Length: 3')),
      400,
    ],
  ])('is refused %s by Fastify', async (_, bytes, status) => {
    const socket = service.open()
    socket.push(bytes)
    await settle()
    expect(answersOf(socket.sent)[0].status).toBe(status)
    expect(service.byFastify() - before).toBe(1)
  })

  test('that ends inside a body gets a refusal that says so', async () => {
    const socket = service.open()
    socket.push(request([1, 2]).subarray(0, -3))
    await turn()
    socket.push(null)
    await settle()
    expect(answersOf(socket.sent)[0].status).toBe(400)
    expect(socket.sent.toString()).toContain('MALFORMED_BODY')
    expect(socket.isClosed).toBe(true)
  })

  test('that ends after a request is answered and closed', async () => {
    const socket = service.open()
    socket.push(request([5]))
    socket.push(null)
    await settle()
    expect(answersOf(socket.sent)).toMatchObject([{ status: 200, rows: rowsOf([5]) }])
    expect(socket.isClosed).toBe(true)
  })

  test('is not read while its client does not read, and loses no request', async () => {
    const socket = service.open()
    socket.stall()
    const ids = Array.from({ length: ROWS }, (_, i) => i)
    const few = Array.from({ length: 400 }, () => request(ids))
    for (const bytes of few) socket.push(bytes)
    await settle()
    const answerBytes = ROWS * DIM * 4
    expect(socket.writableLength).toBeGreaterThan(0)
    expect(socket.writableLength).toBeLessThan(socket.writableHighWaterMark + 2 * answerBytes)
    socket.takeAll()
    await settle()
    const answers = answersOf(socket.sent)
    expect(answers).toHaveLength(few.length)
    for (const { rows } of answers) expect(rows).toEqual(rowsOf(ids))
    expect(service.byFastify() - before).toBe(0)
  })

  test('that is reset does not affect others', async () => {
    const socket = service.open()
    socket.push(request([1]))
    await turn()
    socket.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
    await settle()
    const other = service.open()
    other.push(request([2]))
    await turn()
    expect(answersOf(other.sent)).toMatchObject([{ rows: rowsOf([2]) }])
  })
})
