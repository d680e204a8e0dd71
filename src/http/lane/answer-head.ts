import { LIMITS } from '../../core/limits.ts'
import { type Answer, arrayHeaders } from '../../lookup/encode.ts'
import { stateHeaders } from '../state-headers.ts'

/** What does not change between two answers of the same lookup, whatever the ids. */
export interface AnswerShape extends Pick<Answer, 'mediaType' | 'version' | 'shape' | 'elementType'> {
  bodyBytes: number
}

let date = { second: -1, text: '' }

/** The Date of now (RFC 9110, 5.6.7), made once a second as `node:http` does. */
export const httpDate = (): string => {
  const second = Math.floor(Date.now() / 1_000)
  if (second !== date.second) date = { second, text: new Date(second * 1_000).toUTCString() }
  return date.text
}

/**
 * Writes the head of an answer, to the byte and in the order that Fastify and `node:http` write it for the same lookup. Between two
 * updates and within a second it is the same bytes, which are not made again: they are valid until the next call.
 */
export const createAnswerHead = (shape: AnswerShape): ((sequence: number) => Uint8Array) => {
  let written = { sequence: -1, date: '', bytes: new Uint8Array() }
  return (sequence) => {
    const now = httpDate()
    if (written.sequence !== sequence || written.date !== now) {
      written = { sequence, date: now, bytes: Buffer.from(renderHead(shape, sequence, now), 'latin1') }
    }
    return written.bytes
  }
}

const renderHead = (shape: AnswerShape, sequence: number, now: string): string => {
  const headers = Object.entries({
    'x-content-type-options': 'nosniff',
    ...stateHeaders(shape.version, sequence),
    ...arrayHeaders(shape),
    'content-type': shape.mediaType,
    'cache-control': 'no-store',
    'content-length': String(shape.bodyBytes),
    Date: now,
    Connection: 'keep-alive',
    'Keep-Alive': `timeout=${Math.floor(LIMITS.keepAliveTimeoutMs / 1_000)}`,
  })
  return `HTTP/1.1 200 OK\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`
}
