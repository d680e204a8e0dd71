import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { IncomingMessage } from 'node:http'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { putTable, readTable } from '../../helpers/writer.ts'
import { encodeTensors } from '../routes/adapters.ts'
import type { MemorySocket } from './socket.ts'
import {
  answersOf,
  jsonRequest,
  type FastPathAnswer,
  type FastPathService,
  request,
  updateRequest,
  startFastPath,
} from './fast-path-service.ts'

let service: FastPathService
let before: number

const answersWhen = async (socket: MemorySocket, count: number): Promise<FastPathAnswer[]> => {
  await expect.poll(() => answersOf(socket.sent).length).toBe(count)
  return answersOf(socket.sent)
}

const gradients = (indices: number[], values: number[]): Buffer =>
  encodeTensors({
    indices: { shape: [indices.length], values: indices, elementType: 'int64' },
    gradients: { shape: [indices.length, 2], values },
  })
const SAFETENSORS = { route: 'gradients', type: 'application/x-safetensors' }

describe('An update in the fast path', () => {
  beforeAll(async () => {
    service = await startFastPath()
  })
  afterAll(() => service.close())
  beforeEach(async () => {
    const settings = { durability: 'none', optimizer: { kind: 'sgd', learning_rate: 1 } } as const
    await putTable(service.context.writer, { name: 'moved', rows: 4_096, dim: 2, settings })
    before = service.byFastify()
  })
  const rows = () => readTable(service.context.writer, 'moved')
  const { version } = { version: () => service.context.registry.find('moved').current.handle.version }

  test('is applied and answered without Fastify, as JSON and as safetensors', async () => {
    const socket = service.open()
    socket.push(updateRequest('{"op":"set","indices":[1,1],"values":[[1,2],[3,4]]}'))
    const [first] = await answersWhen(socket, 1)
    expect(first).toMatchObject({ status: 200, head: expect.stringContaining(`etag: "${version()}-1"`) })
    expect(first.json).toEqual({
      table: 'moved',
      version: version(),
      sequence: 1,
      rows_updated: 1,
      durability: 'none',
      replayed: false,
    })
    socket.push(
      updateRequest(gradients([1, 0, 1], [1, 1, 5, 6, 1, 1]), {
        ...SAFETENSORS,
        query: '?learning_rate=0.5',
      }),
    )
    expect((await answersWhen(socket, 2))[1]).toMatchObject({
      status: 200,
      json: { sequence: 2, rows_updated: 2 },
    })
    expect(rows().slice(0, 2)).toEqual([
      [-2.5, -3],
      [2, 3],
    ])
    expect(service.byFastify() - before).toBe(0)
  })

  test('is visible to the next lookup of its connection, which waits for it', async () => {
    const socket = service.open()
    const ask = request([3], { table: 'moved' })
    socket.push(
      Buffer.concat([
        ask,
        updateRequest('{"op":"add","indices":[3],"values":[[7,8]]}'),
        ask,
        jsonRequest('{"indices":3}', { table: 'moved' }),
      ]),
    )
    const answers = await answersWhen(socket, 4)
    expect(answers.map(({ rows }) => rows)).toEqual([[0, 0], [], [7, 8], []])
    expect(answers[3].json).toEqual({
      table: 'moved',
      version: version(),
      sequence: 1,
      shape: [2],
      dtype: 'float32',
      embeddings: [7, 8],
    })
    expect(service.byFastify() - before).toBe(0)
  })

  test('may arrive in pieces over a real connection, into the memory that the writer reads', async () => {
    const indices = Array.from({ length: 4_096 }, (_, i) => 4_095 - i)
    const body = gradients(
      indices,
      indices.flatMap((index) => [index, -index]),
    )
    const bytes = Buffer.concat([updateRequest(body, SAFETENSORS), request([5, 4_000], { table: 'moved' })])
    const { port } = new URL(await service.listen())
    const client = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    const received: Buffer[] = []
    client.on('data', (chunk: Buffer) => received.push(chunk))
    for (let at = 0; at < bytes.length; at += 20_001) {
      client.write(bytes.subarray(at, at + 20_001))
      await sleep(2)
    }
    await expect.poll(() => answersOf(Buffer.concat(received)).length).toBe(2)
    expect(answersOf(Buffer.concat(received))).toMatchObject([
      { status: 200 },
      { rows: [-5, 5, -4_000, 4_000] },
    ])
    expect(rows()).toEqual(indices.toReversed().map((index) => [0 - index, index]))
    expect(service.byFastify() - before).toBe(0)
    client.destroy()
  })

  test.each([
    ['a number that is not finite', updateRequest(gradients([0], [1, NaN]), SAFETENSORS), 422, 'NON_FINITE'],
    [
      'an index outside the table',
      updateRequest('{"op":"set","indices":[9999],"values":[[1,2]]}'),
      422,
      'INDEX_OUT_OF_RANGE',
    ],
    ['a wrong shape', updateRequest('{"op":"set","indices":[1],"values":[[1,2,3]]}'), 422, 'SHAPE_MISMATCH'],
    ['no operation', updateRequest('{"indices":[1],"values":[[1,2]]}'), 400, 'INVALID_REQUEST'],
    ['half a body', updateRequest('{"op":"set","indices":[1],"values":[[1,'), 400, 'MALFORMED_BODY'],
  ])('with %s is refused by Fastify, and changes nothing', async (_, bytes, status, code) => {
    const socket = service.open()
    const reservedBytes = service.context.lookups.arena.reservedBytes
    socket.push(bytes)
    expect(await answersWhen(socket, 1)).toMatchObject([{ status, json: { code } }])
    expect(service.byFastify() - before).toBe(1)
    expect(
      rows()
        .flat()
        .every((value) => value === 0),
    ).toBe(true)
    await expect.poll(() => service.context.lookups.arena.reservedBytes).toBe(reservedBytes)
    socket.push(request([0], { table: 'moved' }))
    expect((await answersWhen(socket, 2))[1]).toMatchObject({
      rows: [0, 0],
      head: expect.stringContaining('-0"'),
    })
  })

  test('is answered after its client has ended its side, and then the connection ends', async () => {
    const socket = service.open()
    socket.push(updateRequest('{"op":"add","indices":[0],"values":[[1,1]]}'))
    socket.push(null)
    expect(await answersWhen(socket, 1)).toMatchObject([{ status: 200, json: { sequence: 1 } }])
    await expect.poll(() => socket.isClosed).toBe(true)
  })

  test('releases its memory when its client disconnects before the answer or within the body', async () => {
    const { arena } = service.context.lookups
    const reservedBytes = arena.reservedBytes
    const bytes = updateRequest('{"op":"add","indices":[0],"values":[[1,1]]}')
    for (let i = 0; i < 50; i++) {
      const [gone, half] = [service.open(), service.open()]
      gone.push(bytes)
      half.push(bytes.subarray(0, -3))
      await new Promise(setImmediate)
      expect(arena.reservedBytes).toBeGreaterThan(reservedBytes)
      gone.destroy()
      half.destroy()
    }
    await expect.poll(() => arena.reservedBytes).toBe(reservedBytes)
    await expect.poll(() => rows()[0]).toEqual([50, 50])
  })

  test('is refused as OVERLOADED when the arena has no room for it', async () => {
    const { arena } = service.context.lookups
    const all = arena.reserve(arena.bytesMax - arena.reservedBytes - 128)
    try {
      const socket = service.open()
      socket.push(updateRequest(gradients([0, 1], [1, 1, 1, 1]), SAFETENSORS))
      expect(await answersWhen(socket, 1)).toMatchObject([{ status: 503, json: { code: 'OVERLOADED' } }])
    } finally {
      arena.release(all)
    }
  })

  test('whose body does not arrive leaves room for lookups, but blocks other updates', async () => {
    const { arena } = service.context.lookups
    const reservedBytes = arena.reservedBytes
    const head = (bytes: number) =>
      Buffer.from(
        'POST /v1/tables/moved/rows HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n' +
          `Content-Length: ${bytes}\r\n\r\n{`,
      )
    const slow = Array.from({ length: LIMITS.updateBytesInFlightMax / LIMITS.updateBodyBytesMax }, () =>
      service.open(),
    )
    for (const socket of slow) socket.push(head(LIMITS.updateBodyBytesMax))
    await expect.poll(() => arena.reservedBytes).toBe(reservedBytes + LIMITS.updateBytesInFlightMax)
    const [more, lookup] = [service.open(), service.open()]
    more.push(head(LIMITS.updateBodyBytesMax))
    expect(await answersWhen(more, 1)).toMatchObject([{ status: 503, json: { code: 'OVERLOADED' } }])
    lookup.push(request([1], { table: 'moved' }))
    expect(await answersWhen(lookup, 1)).toMatchObject([{ status: 200 }])
    for (const socket of slow) socket.destroy()
    await expect.poll(() => arena.reservedBytes).toBe(reservedBytes)
  })

  test('is refused for its mistake, not for lack of memory, when little update memory is free', async () => {
    const { updateBodies } = service.context.lookups
    const body = gradients([0, 5_000], [1, 1, 1, 1])
    const others = updateBodies.reserve(LIMITS.updateBytesInFlightMax - Math.ceil(body.length / 64) * 64)
    try {
      for (const pieces of [1, 2]) {
        const socket = service.open()
        const bytes = updateRequest(body, SAFETENSORS)
        if (pieces === 2) socket.push(bytes.subarray(0, -8))
        socket.push(bytes.subarray(pieces === 2 ? -8 : 0))
        expect(await answersWhen(socket, 1)).toMatchObject([
          { status: 422, json: { code: 'INDEX_OUT_OF_RANGE' } },
        ])
      }
      expect(service.byFastify() - before).toBe(2)
    } finally {
      updateBodies.release(others)
    }
  })

  test('that Fastify takes over within its body is not written to released memory', async () => {
    const { arena } = service.context.lookups
    const { server } = service.app
    const body = gradients([0, 1], [1, 2, 3, 4])
    const bytes = updateRequest(body, SAFETENSORS)
    const address = server.address() as { port: number }
    const client = connect({ port: address.port, host: '127.0.0.1', noDelay: true })
    const received: Buffer[] = []
    client.on('data', (chunk: Buffer) => received.push(chunk))
    const mine = once(server.prependListener('request', takeMemory), 'request')
    let region = { at: 0, bytes: 0 }
    function takeMemory(incoming: IncomingMessage): void {
      server.off('request', takeMemory)
      // The arena is first fit, so this reserves the region that the body has just released. The listener on
      // `data` makes Node's parser leave the reading to the socket.
      region = arena.reserve(body.length)
      arena.bytes.fill(0xab, region.at, region.at + body.length)
      incoming.socket.on('data', () => {})
    }
    client.write(bytes.subarray(0, -8))
    await mine
    client.write(bytes.subarray(-8))
    await expect.poll(() => answersOf(Buffer.concat(received)).length).toBe(1)
    expect(answersOf(Buffer.concat(received))).toMatchObject([{ status: 200 }])
    expect(rows().slice(0, 2)).toEqual([
      [-1, -2],
      [-3, -4],
    ])
    expect(arena.bytes.subarray(region.at, region.at + body.length).every((byte) => byte === 0xab)).toBe(true)
    arena.release(region)
    client.destroy()
  })
})
