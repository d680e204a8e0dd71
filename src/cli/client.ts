/** The HTTP client of the commands: one call, its body and its failures. */
import * as http from 'node:http'
import * as https from 'node:https'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { CallError, UsageError } from './errors.ts'

/** A service that commands talk to, and the pool of connections to it. */
export interface Service {
  /** The address, which ends with a slash. */
  url: URL
  agent: http.Agent
}

export interface Call {
  method: string
  /** The path below the service's address, without a leading slash. */
  path: string
  query?: Readonly<Record<string, string | number | boolean | undefined>>
  headers?: http.OutgoingHttpHeaders
  body?: { chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>; bytes: number }
  /** Called with the number of further body bytes that were handed to the system. */
  onSent?: (bytes: number) => void
  /** The call fails when nothing is sent or received for this long. Without it, the call waits. */
  idleMsMax?: number
  signal?: AbortSignal
}

/** The address of the service that commands use unless `--url` names another one. */
export const readServiceUrl = (environment: NodeJS.ProcessEnv = process.env): string =>
  environment.GATHERD_URL || 'http://127.0.0.1:8080'

/** Describes the service at `url`, without connecting to it. Throws UsageError for a malformed address. */
export const openService = (url: string): Service => {
  const parsed = URL.parse(url.endsWith('/') ? url : `${url}/`)
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    throw new UsageError(`${JSON.stringify(url)} is not the address of a service; give http://HOST:PORT`)
  }
  const agent =
    parsed.protocol === 'https:' ? new https.Agent({ keepAlive: true }) : new http.Agent({ keepAlive: true })
  return { url: parsed, agent }
}

/**
 * Calls the service and resolves to its response, whose body is still unread. Throws {@link CallError}, also
 * for a status of 400 or more.
 */
export const callService = async (service: Service, call: Call): Promise<http.IncomingMessage> => {
  const answer = await send(service, call)
  const { statusCode: status = 0 } = answer
  if (status < 400) return answer
  throw await readProblem(service, answer, status)
}

/** Calls the service and resolves to its response, parsed as JSON. Throws {@link CallError}. */
export const callForJson = async <Answer>(service: Service, call: Call): Promise<Answer> => {
  const answer = await callService(service, {
    ...call,
    headers: { accept: 'application/json', ...call.headers },
  })
  const body = await readText(service, answer)
  try {
    return JSON.parse(body) as Answer
  } catch (error) {
    const { statusCode = 0 } = answer
    throw new CallError(
      `the service answered something else than JSON (HTTP_${statusCode})`,
      statusCode,
      `HTTP_${statusCode}`,
      {
        cause: error,
      },
    )
  }
}

/** Wraps JSON text as the body of a call. */
export const jsonBody = (json: string): Pick<Call, 'body' | 'headers'> => {
  const bytes = Buffer.from(json)
  return { body: { chunks: [bytes], bytes: bytes.length }, headers: { 'content-type': 'application/json' } }
}

const send = ({ url, agent }: Service, call: Call): Promise<http.IncomingMessage> =>
  new Promise((resolve, reject) => {
    const address = new URL(call.path, url)
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) address.searchParams.set(name, String(value))
    }
    const { method, signal, body, idleMsMax } = call
    const headers = { ...call.headers, ...(method !== 'GET' && { 'content-length': body?.bytes ?? 0 }) }
    const request = (address.protocol === 'https:' ? https : http).request(address, {
      method,
      agent,
      signal,
      headers,
    })
    const chunks = Readable.from(body === undefined ? [] : countBytes(body.chunks, call.onSent))
    request.once('response', (answer) => {
      // A response before the end of the body is a refusal, so the rest is not sent.
      if ((answer.statusCode ?? 0) >= 400) chunks.unpipe(request)
      resolve(answer)
    })
    request.on('error', (error) => {
      chunks.destroy()
      reject(describeFailure(url, error))
    })
    // Reading the file failed, not the connection, so the error is passed on as it is.
    chunks.on('error', (error) => {
      request.destroy()
      reject(error)
    })
    if (idleMsMax !== undefined) {
      const timedOut = Object.assign(new Error('nothing moved'), { code: 'ETIMEDOUT' })
      request.setTimeout(idleMsMax, () => request.destroy(timedOut))
    }
    chunks.pipe(request)
  })

async function* countBytes(
  chunks: NonNullable<Call['body']>['chunks'],
  onSent?: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk
    onSent?.(chunk.length)
  }
}

const describeFailure = (url: URL, error: unknown): Error => {
  const { code = 'ERROR', message, name } = error as NodeJS.ErrnoException
  if (name === 'AbortError') return error as Error
  const address = url.href.replace(/\/$/, '')
  if (code === 'ECONNREFUSED')
    return new CallError(`no service answers at ${address} (${code})`, null, code, { cause: error })
  return new CallError(`the connection to ${address} failed (${code}: ${message})`, null, code, {
    cause: error,
  })
}

const readText = async ({ url }: Service, answer: http.IncomingMessage): Promise<string> => {
  try {
    return await text(answer)
  } catch (error) {
    throw describeFailure(url, error)
  }
}

const readProblem = async (
  service: Service,
  answer: http.IncomingMessage,
  status: number,
): Promise<CallError> => {
  const body = await readText(service, answer)
  const after = Number(answer.headers['retry-after'])
  const waitMs = Number.isFinite(after) ? after * 1000 : undefined
  const problem = parseProblem(body)
  const detail = problem.detail ?? `the service answered ${status} ${answer.statusMessage}`
  const code = problem.code ?? `HTTP_${status}`
  return new CallError(`${detail} (${code})`, status, code, { waitMs })
}

const parseProblem = (body: string): { code?: string; detail?: string } => {
  try {
    return JSON.parse(body) as { code?: string }
  } catch {
    // A proxy between client and service answers with a page of its own.
    return {}
  }
}
