/**
 * One connection for requests outside of measurements: loading, comparing answers, asking whether a server is
 * ready.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Wire } from './wire.ts'

export interface Answer {
  status: number
  body: Buffer
}

export interface Connection {
  /** Answers come in the order of the requests. Rejects when the connection fails first. */
  ask(request: Buffer): Promise<Answer>
  close(): void
}

/** Connects to the host and port of `url`, whatever its scheme. */
export async function openConnection(url: string, wire: Pick<Wire, 'makeReader'>): Promise<Connection> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  await once(socket, 'connect')
  const waiting: PromiseWithResolvers<Answer>[] = []
  let pieces: Buffer[] = []
  const read = wire.makeReader(
    (status) => {
      const body = Buffer.concat(pieces)
      pieces = []
      waiting.shift()?.resolve({ status, body })
    },
    (piece) => void pieces.push(Buffer.from(piece)),
  )
  const fail = (error: Error): void => {
    for (const { reject } of waiting.splice(0)) reject(error)
    socket.destroy()
  }
  socket.on('data', (piece: Buffer) => {
    try {
      read(piece)
    } catch (error) {
      fail(error as Error)
    }
  })
  socket.on('error', fail)
  socket.on('end', () => fail(new Error('the server closed a connection')))
  return {
    ask: (request) => {
      const answer = Promise.withResolvers<Answer>()
      waiting.push(answer)
      socket.write(request)
      return answer.promise
    },
    close: () => void socket.destroy(),
  }
}
