/**
 * An HTTP client for the reliability tests, whose requests may end with the process that they are sent to.
 */
import { Agent, request } from 'node:http'

export interface Answer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: Buffer
}

export interface Asked {
  body?: unknown
  headers?: Record<string, string>
}

/** Sends a request. Resolves to null when no complete answer arrives, which leaves its effect unknown. */
export type Ask = (method: string, path: string, asked?: Asked) => Promise<Answer | null>

/** Makes a client that reuses its connections. It sends a body that is not a Buffer as JSON. */
export const createAsk = (url: string): Ask & { close: () => void } => {
  const agent = new Agent({ keepAlive: true })
  const ask: Ask = (method, path, { body, headers = {} } = {}) =>
    new Promise((resolve) => {
      const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
      const type: Record<string, string> =
        bytes === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': String(bytes.length) }
      const outgoing = request(
        `${url}${path}`,
        { method, agent, headers: { ...type, ...headers } },
        (incoming) => {
          const parts: Buffer[] = []
          incoming.on('data', (part: Buffer) => parts.push(part))
          incoming.once('end', () => {
            if (incoming.complete)
              resolve({
                status: incoming.statusCode ?? 0,
                headers: incoming.headers,
                body: Buffer.concat(parts),
              })
          })
          incoming.once('error', () => resolve(null))
          incoming.once('close', () => resolve(null))
        },
      )
      outgoing.once('error', () => resolve(null))
      outgoing.end(bytes)
    })
  return Object.assign(ask, { close: () => agent.destroy() })
}

/** Parses the body of an answer as JSON. */
export const readJson = <Body>({ body }: Answer): Body => JSON.parse(body.toString()) as Body

/** Sends a request that must be answered with 2xx. */
export const askOrFail = async (ask: Ask, method: string, path: string, asked?: Asked): Promise<Answer> => {
  const answer = await ask(method, path, asked)
  if (answer === null) throw new Error(`${method} ${path} was not answered`)
  if (answer.status >= 300)
    throw new Error(`${method} ${path} was answered ${answer.status}: ${answer.body.toString()}`)
  return answer
}
