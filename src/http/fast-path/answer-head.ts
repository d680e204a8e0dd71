import { LIMITS } from '../../core/limits.ts'
import { stateHeaders } from '../answer/send-answer.ts'

/** The heads of the fast path's answers, to the byte and in the order that Fastify and `node:http` write. */

/** The Date of now (RFC 9110, 5.6.7). */
export type HttpDate = () => string

/** Makes an {@link HttpDate} that renders its text once a second, as `node:http` does. */
export const createHttpDate = (): HttpDate => {
  let date = { second: -1, text: '' }
  return () => {
    const second = Math.floor(Date.now() / 1_000)
    if (second !== date.second) date = { second, text: new Date(second * 1_000).toUTCString() }
    return date.text
  }
}

/** The head of an answer at this sequence, for a body of so many bytes. Valid until the next call. */
export type AnswerHead = (sequence: number, bodyBytes: number) => Uint8Array

/**
 * An {@link AnswerHead} for one version, with `headers` between those of the state and the length. Between
 * two updates and within a second most of the head is the same text, and often all of it: those parts are
 * rendered once.
 */
export const createAnswerHead = (
  httpDate: HttpDate,
  version: number,
  headers: Readonly<Record<string, string>>,
): AnswerHead => {
  let written = { sequence: -1, date: '', before: '', after: '' }
  let latest = { bodyBytes: -1, bytes: new Uint8Array() }
  return (sequence, bodyBytes) => {
    const now = httpDate()
    if (written.sequence !== sequence || written.date !== now) {
      written = { sequence, date: now, ...renderHead(version, sequence, headers, now) }
      latest = { bodyBytes: -1, bytes: latest.bytes }
    }
    if (latest.bodyBytes !== bodyBytes) {
      latest = { bodyBytes, bytes: Buffer.from(`${written.before}${bodyBytes}${written.after}`, 'latin1') }
    }
    return latest.bytes
  }
}

const renderHead = (
  version: number,
  sequence: number,
  headers: Readonly<Record<string, string>>,
  now: string,
): { before: string; after: string } => {
  const lines = Object.entries({
    'x-content-type-options': 'nosniff',
    ...stateHeaders(version, sequence),
    ...headers,
  })
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const timeoutSeconds = Math.floor(LIMITS.keepAliveTimeoutMs / 1_000)
  return {
    before: `HTTP/1.1 200 OK\r\n${text}content-length: `,
    after: `\r\nDate: ${now}\r\nConnection: keep-alive\r\nKeep-Alive: timeout=${timeoutSeconds}\r\n\r\n`,
  }
}
