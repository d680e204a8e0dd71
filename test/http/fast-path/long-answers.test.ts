import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { putTable } from '../../helpers/writer.ts'
import { startService } from '../../helpers/service.ts'
import { rowOf } from './servers.ts'
import { answersOf, type FastPathService, request, startFastPath } from './fast-path-service.ts'

const LONG_ROWS = 16
const LONG_DIM = 4_096
/** The answers of a quarter of a MiB are more than the kernel buffers for a client that does not read. */
const IDS = Array.from({ length: LONG_ROWS }, (_, i) => LONG_ROWS - 1 - i)
const ASKED_COUNT = 80

/** Whether the bytes are one complete answer. */
const isWhole = (bytes: Buffer): boolean => {
  const headEnd = bytes.indexOf('\r\n\r\n') + 4
  return (
    headEnd >= 4 &&
    bytes.length ===
      headEnd + Number(/content-length: (\d+)/i.exec(bytes.toString('latin1', 0, headEnd))?.[1])
  )
}

let service: FastPathService
let port: number
let before: number

describe('A long answer of the fast path', () => {
  beforeAll(async () => {
    service = await startFastPath()
    const values = Array.from({ length: LONG_ROWS }, (_, row) => rowOf(row, LONG_DIM)).flat()
    await putTable(service.context.writer, { name: 'long', rows: LONG_ROWS, dim: LONG_DIM, values })
    port = Number(new URL(await service.listen()).port)
  })
  afterAll(() => service.close())
  beforeEach(() => {
    before = service.byFastify()
  })
  const arena = () => service.context.lookups.arena

  const dial = () => connect({ port, host: '127.0.0.1', noDelay: true })
  const long = (ids: readonly number[]) => request(ids, { table: 'long' })

  /** Sends many requests and reads no answer. Returns when an answer waits for the client. */
  const askWithoutReading = async (client: Socket, isWaiting: () => boolean): Promise<void> => {
    client.pause().write(Buffer.concat(Array.from({ length: ASKED_COUNT }, () => long(IDS))))
    await expect.poll(isWaiting).toBe(true)
  }

  const readAll = async (client: Socket, count: number): Promise<number[][]> => {
    const received: Buffer[] = []
    let bytes = 0
    const bytesMin = count * IDS.length * LONG_DIM * 4
    client.on('data', (chunk: Buffer) => {
      received.push(chunk)
      bytes += chunk.length
    })
    client.resume()
    const wholeCount = () =>
      bytes > bytesMin &&
      answersOf(Buffer.concat(received)).filter(({ rows }) => rows.length === IDS.length * LONG_DIM).length
    await expect.poll(wholeCount, { timeout: 10_000 }).toBe(count)
    return answersOf(Buffer.concat(received)).map((answer) => answer.rows)
  }

  const expectRows = (rows: readonly number[][], ids: readonly number[]): void => {
    const expected = Float32Array.from(ids.flatMap((id) => rowOf(id, LONG_DIM)))
    for (const [i, answer] of rows.entries()) {
      expect(
        Buffer.from(Float32Array.from(answer).buffer).equals(Buffer.from(expected.buffer)),
        `answer ${i}`,
      ).toBe(true)
    }
  }

  test('waits unchanged in the arena for a slow client, while other clients are answered', async () => {
    const reservedBytes = arena().reservedBytes
    const [slow, other] = [dial(), dial()]
    await askWithoutReading(slow, () => arena().reservedBytes > reservedBytes)
    const others = IDS.map(() => 3)
    other.write(Buffer.concat(Array.from({ length: 8 }, () => long(others))))
    expectRows(await readAll(other, 8), others)
    expect(arena().reservedBytes).toBeGreaterThan(reservedBytes)
    expectRows(await readAll(slow, ASKED_COUNT), IDS)
    await expect.poll(() => arena().reservedBytes).toBe(reservedBytes)
    expect(service.byFastify() - before).toBe(0)
    slow.destroy()
    other.destroy()
  })

  test('is released when its client disconnects without reading it', async () => {
    const reservedBytes = arena().reservedBytes
    for (let i = 0; i < 5; i++) {
      const client = dial()
      client.on('error', () => {})
      await askWithoutReading(client, () => arena().reservedBytes > reservedBytes)
      if (i % 2 === 0) client.resetAndDestroy()
      else client.destroy()
      await expect.poll(() => arena().reservedBytes).toBe(reservedBytes)
    }
  })

  test("equals Fastify's to the byte, for numbers of every dtype", async () => {
    const plain = await startService({ logLevel: 'silent' })
    const other = connect({
      port: Number(new URL(await plain.listen()).port),
      host: '127.0.0.1',
      noDelay: true,
    })
    const client = dial()
    const payload = Buffer.from(
      Float32Array.from({ length: LONG_ROWS * LONG_DIM }, (_, i) => Math.sin(i)).buffer,
    )
    const headers = { 'content-type': 'application/octet-stream' }
    for (const { app } of [service, plain]) {
      for (const dtype of ['float32', 'float16', 'int8']) {
        const url = `/v1/tables/${dtype}?rows=${LONG_ROWS}&dim=${LONG_DIM}&input_dtype=float32&dtype=${dtype}`
        expect((await app.inject({ method: 'PUT', url, payload, headers })).statusCode).toBe(201)
      }
    }
    const ids = [...IDS, ...IDS, ...IDS]
    const requests = ['float32', 'float16', 'int8'].flatMap((table) =>
      ['?dtype=native', '?dtype=bfloat16', '?mode=fill&fill_value=2'].map((query) =>
        request(query.includes('fill') ? [...ids, 2 ** 30] : ids, { table, query }),
      ),
    )
    const ask = async (socket: Socket, bytes: Buffer): Promise<string> => {
      socket.write(bytes)
      const received: Buffer[] = []
      const note = (chunk: Buffer) => received.push(chunk)
      socket.on('data', note)
      await expect.poll(() => isWhole(Buffer.concat(received)), { interval: 5, timeout: 5_000 }).toBe(true)
      socket.off('data', note)
      return Buffer.concat(received)
        .toString('latin1')
        .replace(/\r\nDate: [^\r]*/, '')
    }
    for (const bytes of requests) {
      const answer = await ask(client, bytes)
      expect(answer.length).toBeGreaterThan(64 * 1024)
      expect(answer === (await ask(other, bytes)), bytes.toString('latin1').split(' HTTP')[0]).toBe(true)
    }
    expect(service.byFastify() - before).toBe(0)
    client.destroy()
    other.destroy()
    await plain.close()
  })

  test('is copied out of the arena when waiting answers have used up their share of it', async () => {
    const { answers, buffers } = service.context.lookups
    const all = answers.reserve(LIMITS.answerBytesInFlightMax)
    const reservedBytes = arena().reservedBytes
    const [first, client] = [dial(), dial()]
    await askWithoutReading(first, () => buffers.idleBytes > 0)
    expectRows(await readAll(first, ASKED_COUNT), IDS)
    const { idleBytes } = buffers
    await askWithoutReading(client, () => buffers.idleBytes < idleBytes)
    expect(arena().reservedBytes).toBe(reservedBytes)
    expectRows(await readAll(client, ASKED_COUNT), IDS)
    expect(service.byFastify() - before).toBe(0)
    answers.release(all)
    first.destroy()
    client.destroy()
  })
})
