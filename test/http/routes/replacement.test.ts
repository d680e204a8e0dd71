import { Agent, request } from 'node:http'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runsOf } from '../../helpers/property-runs.ts'
import { type Service, startService } from '../../helpers/service.ts'

const ROWS = 2_048
const DIM = 32
const REPLACEMENTS = runsOf({ quick: 15, long: 50 })
const CLIENTS = 8

let service: Service
let url: string
const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })
beforeEach(async () => {
  service = await startService()
  url = `${await service.listen()}/v1/tables/t`
})
afterEach(async () => {
  agent.destroy()
  await service.close()
})

interface Received {
  status: number
  version: number
  body: Buffer
}

const call = (method: string, path: string, body?: Buffer): Promise<Received> =>
  new Promise((resolve, reject) => {
    const types = {
      'content-type': 'application/octet-stream',
      accept: method === 'PUT' ? 'application/json' : 'application/octet-stream',
    }
    const headers =
      body === undefined ? { accept: types.accept } : { ...types, 'content-length': body.length }
    const outgoing = request(url + path, { method, agent, headers }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.on('end', () =>
        resolve({
          status: answer.statusCode ?? 0,
          version: Number(answer.headers['x-table-version']),
          body: Buffer.concat(parts),
        }),
      )
    })
    outgoing.once('error', reject).end(body)
  })

/** Replaces the table by rows whose numbers all equal the version number. */
const replace = (version: number) =>
  call('PUT', `?rows=${ROWS}&dim=${DIM}`, Buffer.from(new Float32Array(ROWS * DIM).fill(version).buffer))

const foreignNumbers = ({ body, version }: Received): number =>
  new Float32Array(body.buffer.slice(body.byteOffset, body.byteOffset + body.length)).filter(
    (value) => value !== version,
  ).length

test('Answers beside replacements have rows of one version, and the memory of old versions is released', {
  timeout: 240_000,
}, async () => {
  for (const version of [1, 2]) await replace(version)
  const reservedBytes = service.writer.memory.reservedBytes
  expect(reservedBytes).toBeGreaterThan(2 * ROWS * DIM * 4)
  const ids = Buffer.from(Int32Array.from({ length: 512 }, (_, i) => (i * 4_099) % ROWS).buffer)
  const seen = new Set<number>()
  let isDone = false
  const ask = async (path: string, body?: Buffer): Promise<void> => {
    let last = 0
    while (!isDone) {
      const received = await call(body === undefined ? 'GET' : 'POST', path, body)
      expect([received.status, foreignNumbers(received)]).toEqual([200, 0])
      expect(received.body.length).toBe((body === undefined ? ROWS : 512) * DIM * 4)
      expect(received.version).toBeGreaterThanOrEqual(last)
      last = received.version
      seen.add(last)
    }
  }
  const clients = [...Array.from({ length: CLIENTS - 2 }, () => ask('/lookup', ids)), ask('/data')]
  try {
    for (let version = 3; version < 3 + REPLACEMENTS; version++)
      expect(await replace(version)).toMatchObject({ status: 200, version })
  } finally {
    isDone = true
    await Promise.all(clients)
  }
  expect(seen.size).toBeGreaterThan(2)
  await expect.poll(() => service.writer.memory.reservedBytes, { timeout: 5_000 }).toBe(reservedBytes)
  expect(service.writerErrors).toEqual([])
})
