/** The requests that rows of the conformance tests are made of, as bytes. */

/** A table that every service of these tests has, with its validators. */
export interface Validators {
  info: string
  data: string
  rows: string
}

/** What is sent on a connection of its own, and what comes back. */
export interface ConformanceRow {
  /** What is sent, for people. */
  about: string
  /** The section that decides. */
  section: string
  send: string | ((tags: Validators) => string)
  /** Ends the sending side behind the bytes. */
  isHalfClosed?: boolean
  /** The final answers, in their order: a status, or a status and the code of a problem. */
  answers: readonly (number | readonly [number, string])[]
  /** Interim answers before the first final one. */
  interim?: readonly number[]
  /** Whether the connection is used again, or ends. */
  after: 'open' | 'ends'
  /** Headers of the last answer. */
  headers?: Readonly<Record<string, RegExp>>
  method?: string
  /**
   * Behind a proxy: the statuses that may come instead, because the proxy decides. 'skip' where the bytes
   * make no sense to a proxy.
   */
  behind?: readonly number[] | 'skip'
}

/** The Host of every request. */
export const HOST = 'Host: here\r\n'
/** A JSON body follows. */
export const JSON_TYPE = 'Content-Type: application/json\r\n'
const LOOKUP = '{"indices":[1]}'
/** A body in chunks follows. */
export const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n'

/** A request without a body. */
export const get = (path: string, lines = ''): string => `GET ${path} HTTP/1.1\r\n${HOST}${lines}\r\n`
/** A request with a body. */
export const send = (method: string, path: string, body: string, lines = JSON_TYPE): string =>
  `${method} ${path} HTTP/1.1\r\n${HOST}${lines}Content-Length: ${body.length}\r\n\r\n${body}`
/** A lookup, with more headers. */
export const lookUp = (lines = ''): string =>
  send('POST', '/v1/tables/kept/lookup', LOOKUP, JSON_TYPE + lines)
/** An upload. */
export const put = (name: string, values: string, lines = ''): string =>
  send('PUT', `/v1/tables/${name}`, `{"values":${values}}`, JSON_TYPE + lines)
/** An upload or lookup in chunks. */
export const chunks = (text: string, path = 'lookup'): string =>
  `POST /v1/tables/kept/${path} HTTP/1.1\r\n${HOST}${JSON_TYPE}${CHUNKED}${text}`

/** The answer to a request that is none. */
export const BAD = [400, 'INVALID_REQUEST'] as const
/** The answer to a body that is none. */
export const BAD_BODY = [400, 'MALFORMED_BODY'] as const
/** The answer to a transfer coding. */
export const BAD_CODING = [501, 'CODING_NOT_SUPPORTED'] as const
/** The answer to another version. */
export const BAD_VERSION = [505, 'VERSION_NOT_SUPPORTED'] as const

/** A row with one answer. */
export type Short = [
  about: string,
  section: string,
  send: string,
  answer: ConformanceRow['answers'][number],
  behind?: readonly number[] | 'skip',
]
/** A row with one answer, with which the connection ends. */
export const ending = ([about, section, bytes, answer, behind]: Short): ConformanceRow => ({
  about,
  section,
  send: bytes,
  answers: [answer],
  after: 'ends',
  behind,
})
/** A row with one answer, after which the connection is used again. */
export const staying = (short: Short): ConformanceRow => ({ ...ending(short), after: 'open' })
