/**
 * Renders the heads of the fast path's answers, with the bytes and in the order that Fastify and `node:http`
 * write.
 */
import { stateHeaders } from '../answer/send-answer.ts'

/** Returns the current value of the header Date (RFC 9110, 5.6.7). */
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

/** What is in the head of every answer of an HTTP worker. */
export interface HeadConstants {
  httpDate: HttpDate
  /** How long the connection stays open when it is idle. */
  keepAliveMs: number
}

/**
 * Returns the head of an answer at this sequence, for a body of `bodyBytes`. It is valid until the next call.
 */
export type AnswerHead = (sequence: number, bodyBytes: number) => Uint8Array

/**
 * Makes an {@link AnswerHead} for one version, with `leading` headers before those of the state, and
 * `headers` between them and the length. Between two updates and within a second most of the head stays the
 * same, and often all of it, so those parts are rendered only once.
 */
export const createAnswerHead = (
  { httpDate, keepAliveMs }: HeadConstants,
  version: number,
  headers: Readonly<Record<string, string>>,
  leading: Readonly<Record<string, string>> = {},
): AnswerHead => {
  const keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(keepAliveMs / 1_000)}\r\n`
  let rendered = { sequence: -1, date: '', before: '', after: '' }
  let latest = { bodyBytes: -1, bytes: new Uint8Array() }
  return (sequence, bodyBytes) => {
    const now = httpDate()
    if (rendered.sequence !== sequence || rendered.date !== now) {
      rendered = {
        sequence,
        date: now,
        ...renderHead(version, sequence, headers, leading, now, keepAlive),
      }
      latest = { bodyBytes: -1, bytes: latest.bytes }
    }
    if (latest.bodyBytes !== bodyBytes) {
      latest = { bodyBytes, bytes: Buffer.from(`${rendered.before}${bodyBytes}${rendered.after}`, 'latin1') }
    }
    return latest.bytes
  }
}

const renderHead = (
  version: number,
  sequence: number,
  headers: Readonly<Record<string, string>>,
  leading: Readonly<Record<string, string>>,
  now: string,
  keepAlive: string,
): { before: string; after: string } => {
  const lines = Object.entries({
    'x-content-type-options': 'nosniff',
    ...leading,
    ...stateHeaders(version, sequence),
    ...headers,
  })
  const text = lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return {
    before: `HTTP/1.1 200 OK\r\n${text}content-length: `,
    after: `\r\nDate: ${now}\r\n${keepAlive}\r\n`,
  }
}
