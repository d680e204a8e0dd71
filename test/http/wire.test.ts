import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import type { Problem } from '../../src/http/errors/problem.ts'
import { type Service, startService } from '../helpers/service.ts'

let service: Service
let port: number
beforeAll(async () => {
  service = await startService()
  port = Number(new URL(await service.listen()).port)
})
afterAll(() => service.close())

/** An answer as it was read from the socket. */
interface Answer {
  status: number
  headers: Record<string, string>
  body: string
}

/** A connection that sends any bytes. */
class Wire {
  readonly socket: Socket
  #text = ''
  #wake = (): void => {}
  closed = false

  constructor() {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1')
      this.#wake()
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.closed = true
      this.#wake()
    })
  }

  send(...parts: (string | Buffer)[]): this {
    for (const part of parts) this.socket.write(part)
    return this
  }

  /** Waits for the next answer, which must have a Content-Length. */
  async answer(): Promise<Answer> {
    for (;;) {
      const headEnd = this.#text.indexOf('\r\n\r\n')
      if (headEnd >= 0) {
        const [first, ...lines] = this.#text.slice(0, headEnd).split('\r\n')
        const headers = Object.fromEntries(
          lines.map((line) => [
            line.slice(0, line.indexOf(':')).toLowerCase(),
            line.slice(line.indexOf(':') + 2),
          ]),
        )
        const end = headEnd + 4 + Number(headers['content-length'] ?? 0)
        if (this.#text.length >= end) {
          const body = this.#text.slice(headEnd + 4, end)
          this.#text = this.#text.slice(end)
          return { status: Number(first.split(' ')[1]), headers, body }
        }
      }
      if (this.closed) throw new Error(`closed after ${JSON.stringify(this.#text)}`)
      await this.#more()
    }
  }

  async close(): Promise<void> {
    while (!this.closed) await this.#more()
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

const HOST = 'Host: here\r\n'
const JSON_TYPE = 'Content-Type: application/json\r\n'
const ALIVE = `GET /livez HTTP/1.1\r\n${HOST}\r\n`
const problemOf = (answer: Answer): Problem => {
  expect(answer.headers['content-type']).toBe('application/problem+json')
  const problem = JSON.parse(answer.body) as Problem
  expect(problem.status).toBe(answer.status)
  expect(problem.instance).toBe(answer.headers['x-request-id'])
  return problem
}

describe('bytes that are not a request', () => {
  test.each<[string, string, number, string]>([
    ['words', 'hello\r\n\r\n', 400, 'INVALID_REQUEST'],
    ['a method that does not exist', `FOO / HTTP/1.1\r\n${HOST}\r\n`, 400, 'INVALID_REQUEST'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505, 'VERSION_NOT_SUPPORTED'],
    [
      'a head that is too large',
      `GET / HTTP/1.1\r\n${HOST}X-A: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'INVALID_REQUEST',
    ],
    [
      'two lengths',
      `POST /v1/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
      400,
      'INVALID_REQUEST',
    ],
    [
      'a length and chunks',
      `POST /v1/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}Content-Length: 2\r\n` +
        'Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'INVALID_REQUEST',
    ],
    [
      'a negative length',
      `POST /v1/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}Content-Length: -1\r\n\r\n`,
      400,
      'INVALID_REQUEST',
    ],
    [
      'malformed chunks',
      `POST /v1/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
      400,
      'MALFORMED_BODY',
    ],
    [
      'malformed chunks of an upload',
      `PUT /v1/tables/x HTTP/1.1\r\n${HOST}Content-Type: application/x-npy\r\n` +
        'Transfer-Encoding: chunked\r\n\r\nzz\r\n',
      400,
      'MALFORMED_BODY',
    ],
  ])(
    'are answered with a problem before the connection is closed: %s',
    async (_name, bytes, status, code) => {
      const wire = new Wire().send(bytes)
      const answer = await wire.answer()
      expect([answer.status, problemOf(answer).code, answer.headers.connection]).toEqual([
        status,
        code,
        'close',
      ])
      await wire.close()
    },
  )

  test.each<[string, string, number]>([
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n', 400],
    [
      'too many headers',
      `GET /livez HTTP/1.1\r\n${HOST}${Array.from({ length: 101 }, (_, i) => `X-${i}: 1\r\n`).join('')}\r\n`,
      431,
    ],
    ['a URL that is too long', `GET /livez?${'a'.repeat(3_000)} HTTP/1.1\r\n${HOST}\r\n`, 414],
    ['a path that cannot be decoded', `GET /v1/tables/%ff HTTP/1.1\r\n${HOST}\r\n`, 400],
  ])('are answered with a problem on a connection that stays open: %s', async (_name, bytes, status) => {
    const wire = new Wire().send(bytes)
    const answer = await wire.answer()
    expect([answer.status, problemOf(answer).code]).toEqual([status, 'INVALID_REQUEST'])
    expect((await wire.send(ALIVE).answer()).status).toBe(200)
    wire.socket.destroy()
  })

  test('are answered after a correct request before them', async () => {
    const wire = new Wire().send(`DELETE /v1/tables/none HTTP/1.1\r\n${HOST}\r\nGARBAGE\r\n\r\n`)
    expect((await wire.answer()).status).toBe(404)
    expect((await wire.answer()).status).toBe(400)
    await wire.close()
  })

  test('do not crash the service', async () => {
    for (const bytes of ['\0\0\0\0', '\r\n\r\n\r\n', 'GET', '\x16\x03\x01\x02\x00']) {
      const wire = new Wire().send(Buffer.from(bytes, 'latin1'))
      wire.socket.end()
      await wire.close()
    }
    expect((await new Wire().send(ALIVE).answer()).status).toBe(200)
  })
})

describe('two Content-Type headers', () => {
  test('are refused even if they are equal', async () => {
    const wire = new Wire().send(
      `POST /v1/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}content-type: application/json\r\n` +
        'Content-Length: 2\r\n\r\n{}',
    )
    expect(problemOf(await wire.answer()).code).toBe('UNSUPPORTED_MEDIA_TYPE')
    wire.socket.destroy()
  })
})

describe('a connection', () => {
  test('answers pipelined requests in order', async () => {
    const wire = new Wire().send(ALIVE, `GET /v1/tables/none HTTP/1.1\r\n${HOST}\r\n`, ALIVE)
    expect([
      (await wire.answer()).status,
      (await wire.answer()).status,
      (await wire.answer()).status,
    ]).toEqual([200, 404, 200])
    wire.socket.destroy()
  })

  test.each<[string, string]>([
    ['announced', 'Content-Length: 6000000\r\n\r\n'],
    ['in one chunk', `Transfer-Encoding: chunked\r\n\r\n${(6_000_000).toString(16)}\r\n`],
  ])('tells a client that sends too much (%s) why it is refused, and stays usable', async (how, head) => {
    const end = how === 'announced' ? '' : '\r\n0\r\n\r\n'
    const wire = new Wire().send(
      `POST /v1/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}${head}`,
      Buffer.alloc(6_000_000),
      end,
      ALIVE,
    )
    expect(problemOf(await wire.answer())).toMatchObject({ code: 'BODY_TOO_LARGE' })
    expect((await wire.answer()).status).toBe(200)
    wire.socket.destroy()
  })

  test('tells a client whose upload is refused early why, and stays usable', async () => {
    const wire = new Wire().send(
      `PUT /v1/tables/x HTTP/1.1\r\n${HOST}Content-Type: application/x-npy\r\n` +
        'Content-Length: 20000000\r\n\r\n',
      Buffer.alloc(20_000_000),
      ALIVE,
    )
    expect(problemOf(await wire.answer())).toMatchObject({ code: 'MALFORMED_BODY' })
    expect((await wire.answer()).status).toBe(200)
    wire.socket.destroy()
  })

  test('does not read the body of an unknown route as a request', async () => {
    const wire = new Wire().send(
      `POST /v1/none HTTP/1.1\r\n${HOST}${JSON_TYPE}Content-Length: ${ALIVE.length}\r\n\r\n${ALIVE}`,
      ALIVE,
    )
    expect([(await wire.answer()).status, (await wire.answer()).status]).toEqual([404, 200])
    wire.socket.destroy()
  })
})

describe('the method QUERY', () => {
  test('looks rows up like POST', async () => {
    await service.app.inject({
      method: 'PUT',
      url: '/v1/tables/q',
      payload: {
        values: [
          [1, 2],
          [3, 4],
        ],
      },
    })
    const body = '{"indices":[1]}'
    const request = (method: string) =>
      `${method} /v1/tables/q/lookup HTTP/1.1\r\n${HOST}${JSON_TYPE}` +
      `Content-Length: ${body.length}\r\n\r\n${body}`
    const wire = new Wire().send(request('QUERY'), request('POST'))
    const [query, post] = [await wire.answer(), await wire.answer()]
    expect(query.status).toBe(200)
    expect(query.headers['cache-control']).toBe('no-store')
    expect(query.body).toBe(post.body)
    wire.socket.destroy()
  })

  test('needs a supported Content-Type', async () => {
    const wire = new Wire().send(`QUERY /v1/lookup HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}`)
    expect(problemOf(await wire.answer()).status).toBe(400)
    expect(
      problemOf(
        await wire
          .send(`QUERY /v1/lookup HTTP/1.1\r\n${HOST}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`)
          .answer(),
      ).status,
    ).toBe(415)
    wire.socket.destroy()
  })

  test('is listed by OPTIONS with its media types', async () => {
    const wire = new Wire().send(`OPTIONS /v1/lookup HTTP/1.1\r\n${HOST}\r\n`)
    const answer = await wire.answer()
    expect([answer.status, answer.headers.allow]).toEqual([204, 'POST, QUERY'])
    expect(answer.headers['accept-query']).toBe('"application/json", "application/x-safetensors"')
    const one = await wire.send(`OPTIONS /v1/tables/q/lookup HTTP/1.1\r\n${HOST}\r\n`).answer()
    expect(one.headers['accept-query']).toContain('"application/x-npy"')
    wire.socket.destroy()
  })
})

describe('a client that disconnects during an upload', () => {
  const untilReserved = async (bytes: number) => {
    while (service.writer.memory.reservedBytes !== bytes) await new Promise(setImmediate)
  }

  test('does not change the table, and its memory is released', async () => {
    await service.app.inject({ method: 'PUT', url: '/v1/tables/u', payload: { values: [[1, 2]] } })
    const before = service.writer.memory.reservedBytes
    const header = Buffer.from(writeNpyHeader('float32', [100_000, 16]))
    const wire = new Wire().send(
      `PUT /v1/tables/u HTTP/1.1\r\n${HOST}Content-Type: application/x-npy\r\n` +
        `Content-Length: ${header.length + 6_400_000}\r\n\r\n`,
      header,
      Buffer.alloc(1_000_000),
    )
    while (service.writer.memory.reservedBytes === before) await new Promise(setImmediate)
    wire.socket.destroy()
    await untilReserved(before)
    expect((await service.app.inject({ url: '/v1/tables/u' })).json()).toMatchObject({ version: 1, rows: 1 })
    expect(service.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
    expect(service.writerErrors).toEqual([])
  })

  test('before its first byte creates no table', async () => {
    const before = service.writer.memory.reservedBytes
    const wire = new Wire().send(
      `PUT /v1/tables/none HTTP/1.1\r\n${HOST}Content-Type: application/octet-stream\r\n` +
        'Content-Length: 8\r\n\r\n',
    )
    await new Promise((resolve) => wire.socket.once('connect', resolve))
    wire.socket.destroy()
    await untilReserved(before)
    expect((await service.app.inject({ url: '/v1/tables/none' })).statusCode).toBe(404)
  })
})

test('A client that disconnects during a download unpins the version', async () => {
  await service.app.inject({ method: 'PUT', url: '/v1/tables/d', payload: { rows: 500_000, dim: 16 } })
  const before = service.writer.memory.reservedBytes
  const wire = new Wire().send(`GET /v1/tables/d/data HTTP/1.1\r\n${HOST}\r\n`)
  await new Promise((resolve) => wire.socket.once('data', resolve))
  wire.socket.pause()
  await service.app.inject({ method: 'DELETE', url: '/v1/tables/d' })
  expect(service.writer.memory.reservedBytes).toBe(before)
  wire.socket.destroy()
  while (service.writer.memory.reservedBytes === before) await new Promise(setImmediate)
  expect(service.log.filter(({ level }) => Number(level) >= 50)).toEqual([])
})
