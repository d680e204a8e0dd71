import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { normalizeAnswers } from './normalize-answers.ts'
import { compareServers, settle } from './differential.ts'
import { createChooser } from './seeded-choices.ts'
import { makeConversation } from './requests.ts'
import { type Servers, startServers } from './servers.ts'
import { MemorySocket } from './socket.ts'
import { runsOf } from '../../helpers/property-runs.ts'

/** FAST_PATH_CASES=1000000 runs the whole of it, which takes minutes; FAST_PATH_SEED begins elsewhere. */
const CASES = Number(process.env.FAST_PATH_CASES ?? runsOf({ quick: 1_600, long: 8_000 }))
const SEED = Number(process.env.FAST_PATH_SEED ?? 20_261_122)

let servers: Servers
beforeAll(async () => {
  servers = await startServers()
})
afterAll(() => servers.close())

test(`The fast path answers ${CASES} conversations as Fastify does, or leaves them to it`, {
  timeout: 7_200_000,
}, async () => {
  const { difference, answered, byFastify, cases } = await compareServers(servers, CASES, SEED)
  expect(difference).toBe(null)
  expect(cases).toBe(CASES)
  // Both the fast path and Fastify must have answered a fair share.
  expect(answered).toBeGreaterThan(CASES / 3)
  expect(byFastify).toBeGreaterThan(CASES / 3)
  expect(byFastify).toBeLessThan(CASES * 1.5)
  const updated = servers.readUpdated()
  expect(updated.fastPath).toEqual(updated.plain)
  expect(updated.fastPath).toMatchObject([{ sequence: expect.any(Number) }, { sequence: expect.any(Number) }])
})

/**
 * The answers of Fastify to these pieces, or undefined when it closes: a real socket may lose an answer then.
 */
const answerInMemory = async (pieces: readonly Buffer[]): Promise<string | undefined> => {
  const socket = new MemorySocket(servers.plain)
  for (const piece of pieces) if (!socket.destroyed) socket.push(Buffer.from(piece))
  await settle(servers)
  const answers = socket.isClosed ? undefined : normalizeAnswers(socket.sent)
  socket.destroy()
  return answers
}

/**
 * Sends the pieces to the fast path. Resolves with its answers when they equal `wanted` or when the
 * connection closes.
 */
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

test('The fast path does so over real sockets, which Node reads in another way', {
  timeout: 240_000,
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
