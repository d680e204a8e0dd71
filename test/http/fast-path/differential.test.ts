import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { normalizeAnswers } from './answers.ts'
import { compareServers, settle } from './differential.ts'
import { createChooser } from './chooser.ts'
import { makeConversation } from './requests.ts'
import { type Servers, startServers } from './servers.ts'
import { MemorySocket } from './socket.ts'

/** FAST_PATH_CASES=1000000 for the whole of it, which takes minutes; FAST_PATH_SEED to begin elsewhere. */
const CASES = Number(process.env.FAST_PATH_CASES ?? 8_000)
const SEED = Number(process.env.FAST_PATH_SEED ?? 20_261_122)

let servers: Servers
beforeAll(async () => {
  servers = await startServers()
})
afterAll(() => servers.close())

test(`the fast path answers ${CASES} conversations as Fastify does, or leaves them to it`, {
  timeout: 7_200_000,
}, async () => {
  const { difference, answered, byFastify, cases } = await compareServers(servers, CASES, SEED)
  expect(difference).toBe(null)
  expect(cases).toBe(CASES)
  // Neither side of the comparison is idle.
  expect(answered).toBeGreaterThan(CASES / 3)
  expect(byFastify).toBeGreaterThan(CASES / 3)
  expect(byFastify).toBeLessThan(CASES * 1.5)
  const updated = servers.readUpdated()
  expect(updated.fastPath).toEqual(updated.plain)
  expect(updated.fastPath).toMatchObject([{ sequence: expect.any(Number) }, { sequence: expect.any(Number) }])
})

/** What Fastify answers to these pieces; undefined: it closes, and then a real socket may lose the answer. */
const answerInMemory = async (pieces: readonly Buffer[]): Promise<string | undefined> => {
  const socket = new MemorySocket(servers.plain)
  for (const piece of pieces) if (!socket.destroyed) socket.push(Buffer.from(piece))
  await settle(servers)
  const answers = socket.isClosed ? undefined : normalizeAnswers(socket.sent)
  socket.destroy()
  return answers
}

/** Resolves when a connection to the fast path has had this answer to these pieces, with what came instead if it is closed before. */
const converse = (port: number, pieces: readonly Buffer[], wanted: string): Promise<string> =>
  new Promise((resolve) => {
    const client = connect({ port, host: '127.0.0.1', noDelay: true })
    const parts: Buffer[] = []
    const finish = () => {
      client.destroy()
      resolve(normalizeAnswers(Buffer.concat(parts)))
    }
    client.on('data', (part: Buffer) => {
      parts.push(part)
      if (normalizeAnswers(Buffer.concat(parts)) === wanted) finish()
    })
    client.on('error', finish).on('end', finish)
    client.once('connect', async () => {
      for (const piece of pieces) {
        client.write(piece)
        await turn()
      }
    })
  })

test('it does so over real sockets, whose bytes Node reads by another way', {
  timeout: 120_000,
}, async () => {
  const port = Number(new URL(await servers.service.listen()).port)
  const conversations = Array.from({ length: 300 }, (_, i) => makeConversation(createChooser(SEED + i)))
  let compared = 0
  for (const pieces of conversations) {
    const wanted = await answerInMemory(pieces)
    if (wanted === undefined || wanted === '') continue
    expect(await converse(port, pieces, wanted)).toBe(wanted)
    compared++
  }
  expect(compared).toBeGreaterThan(conversations.length / 3)
})
