/**
 * Compares a fast path with plain Fastify: both get the same random conversations, and their answers must be
 * equal.
 */

import { setImmediate as turn } from 'node:timers/promises'
import { normalizeAnswers } from './normalize-answers.ts'
import { createChooser } from './seeded-choices.ts'
import { makeConversation } from './requests.ts'
import type { Servers } from './servers.ts'
import { MemorySocket } from './socket.ts'

/** A conversation that the two servers answer differently. */
export interface Difference {
  seed: number
  state: string
  /** The bytes of the client, piece by piece. */
  said: string[]
  /** The answers before and after the client has ended its side. */
  fastPath: string[]
  plain: string[]
}

export interface Outcome {
  cases: number
  /** The number of requests that got a 200, and of those that Fastify has handled. */
  answered: number
  byFastify: number
  difference: Difference | null
}

const BATCH = 200

/**
 * The states of the service in which conversations take place, by their seed. The ready one is by far the
 * most frequent; in the others admission refuses requests, or ends their connections.
 */
const STATES = ['ready', 'ready', 'ready', 'loading', 'ready', 'ready', 'draining', 'degraded'] as const

const stateOf = (seed: number): (typeof STATES)[number] => STATES[Math.floor(seed / BATCH) % STATES.length]

/** Long enough for every answer that does not wait for a clock. */
export const settle = async ({ isBusy }: Servers): Promise<void> => {
  for (let quiet = 0; quiet < 4; quiet = isBusy() ? 0 : quiet + 1) await turn()
}

const describeState = (socket: MemorySocket): string =>
  `${normalizeAnswers(socket.sent)}\n[${socket.isClosed ? 'closed' : 'open'}]`

/**
 * Holds `cases` conversations, which `seed` decides, with both servers, until their answers differ. Answers
 * are compared after the last byte of the client, and again after it has ended its side of the connection.
 */
export const compareServers = async (servers: Servers, cases: number, seed: number): Promise<Outcome> => {
  const outcome: Outcome = { cases: 0, answered: 0, byFastify: 0, difference: null }
  const onRequest = () => outcome.byFastify++
  const { fastPath } = servers
  fastPath.server.on('request', onRequest)
  try {
    while (outcome.cases < cases && outcome.difference === null) {
      const firstSeed = seed + outcome.cases
      servers.setState(stateOf(firstSeed))
      await compareBatch(servers, Math.min(BATCH, cases - outcome.cases), firstSeed, outcome)
    }
  } finally {
    servers.setState('ready')
    fastPath.server.off('request', onRequest)
  }
  return outcome
}

const compareBatch = async (
  servers: Servers,
  count: number,
  firstSeed: number,
  outcome: Outcome,
): Promise<void> => {
  const talks = Array.from({ length: count }, (_, i) => {
    const pieces = makeConversation(createChooser(firstSeed + i))
    return {
      seed: firstSeed + i,
      pieces,
      sockets: [new MemorySocket(servers.fastPath), new MemorySocket(servers.plain)],
      states: [[], []] as string[][],
    }
  })
  const note = () => {
    for (const { sockets, states } of talks)
      sockets.forEach((socket, side) => states[side].push(describeState(socket)))
  }
  for (let round = 0; talks.some(({ pieces }) => round < pieces.length); round++) {
    for (const { pieces, sockets } of talks) {
      if (round < pieces.length)
        for (const socket of sockets) if (!socket.destroyed) socket.push(Buffer.from(pieces[round]))
    }
    await turn()
  }
  await settle(servers)
  note()
  for (const { sockets } of talks) for (const socket of sockets) if (!socket.destroyed) socket.push(null)
  await settle(servers)
  note()
  for (const { seed, pieces, sockets, states } of talks) {
    outcome.cases++
    outcome.answered += states[0][1].split('HTTP/1.1 200 OK').length - 1
    for (const socket of sockets) socket.destroy()
    if (outcome.difference === null && states[0].join() !== states[1].join()) {
      outcome.difference = {
        seed,
        state: stateOf(firstSeed),
        said: pieces.map((piece) => piece.toString('latin1')),
        fastPath: states[0],
        plain: states[1],
      }
    }
  }
}
