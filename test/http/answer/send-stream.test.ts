import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { startService, type Service } from '../../helpers/service.ts'

const ROWS = 5_000
const DIM = 64

let service: Service
let url: string
const values = Float32Array.from({ length: ROWS * DIM }, (_, i) => i)

beforeAll(async () => {
  service = await startService()
  url = await service.listen()
  const put = await fetch(`${url}/v1/tables/user?rows=${ROWS}&dim=${DIM}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream' },
    body: values,
  })
  expect(put.status).toBe(201)
})
afterAll(() => service.close())

const ids = Int32Array.from({ length: 20_000 }, (_, i) => (i * 7919) % ROWS)
const lookUp = (query: string, headers: Record<string, string> = {}, indices: Int32Array = ids) =>
  fetch(`${url}/v1/tables/user/lookup${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream', accept: 'application/octet-stream', ...headers },
    body: indices as Int32Array<ArrayBuffer>,
  })

/** Expects the rows of the uploaded table at these ids. */
const expectRows = (rows: ArrayLike<number>, indices: Int32Array): void => {
  let wrong = 0
  for (let i = 0; i < indices.length; i++)
    for (let k = 0; k < DIM; k++) if (rows[i * DIM + k] !== indices[i] * DIM + k) wrong++
  expect({ wrong, length: rows.length }).toEqual({ wrong: 0, length: indices.length * DIM })
}

describe('An answer that is streamed in pieces', () => {
  test('has all rows in order, behind headers with its length and the state of the table', async () => {
    const response = await lookUp('')
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-length': String(ids.length * DIM * 4),
      'x-shape': `${ids.length},${DIM}`,
      'x-dtype': 'float32',
      etag: '"1-0"',
      'cache-control': 'no-store',
    })
    expectRows(new Float32Array(await response.arrayBuffer()), ids)
  })

  test('has the same rows behind the headers of npy and safetensors', async () => {
    const npy = Buffer.from(await (await lookUp('', { accept: 'application/x-npy' })).arrayBuffer())
    const at = 10 + npy.readUInt16LE(8)
    expect(npy.subarray(10, at).toString()).toContain(`(${ids.length}, ${DIM})`)
    expectRows(new Float32Array(npy.buffer.slice(npy.byteOffset + at)), ids)
    const tensors = Buffer.from(
      await (await lookUp('', { accept: 'application/x-safetensors' })).arrayBuffer(),
    )
    const from = 8 + Number(tensors.readBigUInt64LE(0))
    expect(JSON.parse(tensors.subarray(8, from).toString())).toMatchObject({
      embeddings: { dtype: 'F32', shape: [ids.length, DIM] },
    })
    expectRows(new Float32Array(tensors.buffer.slice(tensors.byteOffset + from)), ids)
  })

  test('is rounded to 16 bits like a short answer', async () => {
    const rows = new Float16Array(await (await lookUp('?dtype=float16')).arrayBuffer())
    const expected = ids.subarray(0, 3)
    for (let i = 0; i < expected.length; i++)
      expect(rows[i * DIM]).toBe(new Float16Array([expected[i] * DIM])[0])
    expect(rows).toHaveLength(ids.length * DIM)
  })

  test('has the fill value for an id without a row', async () => {
    const some = Int32Array.from(ids, (id, i) => (i === 19_999 ? ROWS : id))
    const rows = new Float32Array(await (await lookUp('?mode=fill&fill_value=-1', {}, some)).arrayBuffer())
    expectRows(rows.subarray(0, 19_999 * DIM), some.subarray(0, 19_999))
    expect(new Set(rows.subarray(19_999 * DIM))).toEqual(new Set([-1]))
  })

  test('is refused before its first byte', async () => {
    const some = Int32Array.from(ids, (id, i) => (i === 19_999 ? ROWS : id))
    const response = await lookUp('', {}, some)
    expect(response.status).toBe(422)
    expect(await response.json()).toMatchObject({ code: 'INDEX_OUT_OF_RANGE' })
    expect(service.context.lookups.arena.reservedBytes).toBe(baseline)
  })
})

/** The arena memory that the tables of the number printer take. */
let baseline: number
beforeAll(() => {
  baseline = service.context.lookups.arena.reservedBytes
})

test('At most two pieces wait for a client that does not read, and are released when it leaves', async () => {
  const { port, hostname } = new URL(url)
  const { arena, buffers } = service.context.lookups
  const many = Int32Array.from({ length: 60_000 }, (_, i) => i % ROWS)
  const sockets = Array.from({ length: 4 }, () => connect({ port: Number(port), host: hostname }))
  for (const socket of sockets) {
    socket.pause()
    socket.write(
      'POST /v1/tables/user/lookup HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n' +
        `accept: application/octet-stream\r\ncontent-length: ${many.byteLength}\r\n\r\n`,
    )
    socket.write(Buffer.from(many.buffer))
  }
  await expect.poll(() => arena.reservedBytes).toBeGreaterThan(baseline)
  await new Promise((resolve) => setTimeout(resolve, 300))
  // A client has its ids and a piece in the arena; the rest of its 15 MB is gathered when it reads on.
  expect(arena.reservedBytes - baseline).toBeLessThan(4 * (many.byteLength + 2 * 1024 * 1024))
  for (const socket of sockets) socket.destroy()
  await expect.poll(() => arena.reservedBytes).toBe(baseline)
  expect(buffers.idleBytes).toBeLessThan(32 * 1024 * 1024)
  expectRows(new Float32Array(await (await lookUp('')).arrayBuffer()), ids)
})

test('A client that takes little of a streamed answer counts as one that makes progress', async () => {
  const { port, hostname } = new URL(url)
  const watch = vi.spyOn(service.context.stalls, 'watch')
  const many = Int32Array.from({ length: 60_000 }, (_, i) => i % ROWS)
  const socket = connect({ port: Number(port), host: hostname }).pause()
  socket.write(
    'POST /v1/tables/user/lookup HTTP/1.1\r\nhost: a\r\ncontent-type: application/octet-stream\r\n' +
      `accept: application/octet-stream\r\ncontent-length: ${many.byteLength}\r\n\r\n`,
  )
  socket.write(Buffer.from(many.buffer))
  // The watch of the latest piece.
  const progress = (): number => watch.mock.lastCall?.[0]() ?? 0
  const silenceMs = () => watch.mock.lastCall?.[1].silenceMs
  await expect.poll(silenceMs).toBe(LIMITS.responseStallMsMax)
  let stopped = -1
  while (stopped !== progress()) {
    stopped = progress()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  for (let takenBytes = 0; takenBytes < 512 * 1024; ) {
    takenBytes += (socket.read() as Buffer | null)?.length ?? 0
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await expect.poll(progress).toBeGreaterThan(stopped)
  socket.destroy()
  watch.mockRestore()
})

test('A lookup beside updates returns whole rows, at the stated sequence or a later one', async () => {
  const put = await fetch(`${url}/v1/tables/live?rows=64&dim=256&durability=none`, {
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream' },
    body: new Float32Array(64 * 256),
  })
  expect(put.status).toBe(201)
  const all = {
    indices: Array.from({ length: 64 }, (_, i) => i),
    values: Array.from({ length: 64 }, () => Array(256).fill(1)),
  }
  let isDone = false
  const writing = (async () => {
    for (let i = 0; i < 60; i++) {
      await service.app.inject({
        method: 'POST',
        url: '/v1/tables/live/rows',
        payload: { op: 'add', ...all },
      })
    }
    isDone = true
  })()
  const many = Int32Array.from({ length: 4_096 }, (_, i) => i % 64)
  let lookups = 0
  while (!isDone) {
    const response = await fetch(`${url}/v1/tables/live/lookup`, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', accept: 'application/octet-stream' },
      body: many,
    })
    const sequence = Number(response.headers.get('x-table-sequence'))
    const rows = new Float32Array(await response.arrayBuffer())
    for (let i = 0; i < many.length; i++) {
      const row = rows.subarray(i * 256, (i + 1) * 256)
      if (row[0] < sequence || row.some((value) => value !== row[0]))
        throw new Error(`row ${i} of sequence ${sequence}: ${row[0]}`)
    }
    lookups++
  }
  await writing
  expect(lookups).toBeGreaterThan(0)
})
