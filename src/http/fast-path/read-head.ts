import { LIMITS } from '../../core/limits.ts'
import type { HeadFacts } from '../admit.ts'

/** Reads the heads that the fast path knows to the byte. Any other head is Fastify's to read. */

/** The head of a plain lookup or update. Plain data. */
export interface FastPathHead {
  /** The facts that admission decides on. */
  facts: HeadFacts
  /** The empty line included. */
  headBytes: number
  table: string
  route: FastPathRoute
  /** The format of the body. */
  format: FastPathFormat
  /** The format of the answer. */
  answer: 'json' | 'raw'
  /** In the order given, each name once. */
  query: [name: string, value: string][]
  bodyBytes: number
}

export type FastPathRoute = 'lookup' | 'gradients' | 'rows'
export type FastPathFormat = 'json' | 'raw' | 'safetensors'

/** Longer heads have headers that the fast path does not know. */
export const HEAD_BYTES_MAX = 2 * 1024

/** Larger lookups are rare, and so expensive that reading their head does not matter. */
export const FAST_PATH_LOOKUP_BYTES_MAX = 64 * 1024

const TABLE = '[A-Za-z0-9][A-Za-z0-9_.-]{0,127}'
const OPTION = '[a-z_]+=[A-Za-z0-9.,_-]+'
const REQUEST_LINE = new RegExp(
  String.raw`^POST /v1/tables/(${TABLE})/(lookup|gradients|rows)` +
    String.raw`(?:\?(${OPTION}(?:&${OPTION})*))? HTTP/1\.1$`,
)

interface Accepted {
  bodyBytesMax: number
  /** The options whose values are plain words and numbers; for lookups, those with one row per id. */
  queryNames: readonly string[]
}

/** The bodies that the fast path takes on each route, and what may stand in the query beside them. */
const ACCEPTED: Readonly<Record<FastPathRoute, Partial<Record<FastPathFormat, Accepted>>>> = {
  lookup: {
    raw: {
      bodyBytesMax: FAST_PATH_LOOKUP_BYTES_MAX,
      queryNames: ['mode', 'dtype', 'index_dtype', 'shape', 'fill_value', 'version'],
    },
    json: { bodyBytesMax: FAST_PATH_LOOKUP_BYTES_MAX, queryNames: ['version'] },
  },
  gradients: {
    safetensors: { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: ['learning_rate'] },
    json: { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: [] },
  },
  rows: {
    safetensors: { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: ['op'] },
    json: { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: [] },
  },
}

const FORMATS: ReadonlyMap<string, FastPathFormat> = new Map([
  ['application/octet-stream', 'raw'],
  ['application/json', 'json'],
  ['application/x-safetensors', 'safetensors'],
])

/** The answer by `Accept`. No header means the same as the last of them. */
const ANSWERS: ReadonlyMap<string, FastPathHead['answer']> = new Map([
  ['application/octet-stream', 'raw'],
  ['application/json', 'json'],
  ['*/*', 'json'],
])

/** No space before the colon, at most one behind it, none at the end; printable ASCII. */
const HEADER_LINE = /^([A-Za-z-]+): ?([!-~](?:[ -~]*[!-~])?)$/

const ANYTHING = (): boolean => true

/**
 * The headers that the fast path knows, and the values for which it knows what Fastify would do. The service
 * ignores those that may have any value. A header that is not in this list may mean anything: a key, a
 * deadline, a condition, an encoding.
 */
const HEADERS: ReadonlyMap<string, (value: string) => boolean> = new Map<string, (value: string) => boolean>([
  ['host', ANYTHING],
  ['content-type', (value) => FORMATS.has(value)],
  ['accept', (value) => ANSWERS.has(value)],
  ['content-length', (value) => /^[1-9][0-9]{0,8}$/.test(value)],
  ['connection', (value) => value === 'keep-alive' || value === 'Keep-Alive'],
  ['user-agent', ANYTHING],
  ['accept-encoding', ANYTHING],
  ['accept-language', ANYTHING],
  // Node's fetch sends it.
  ['sec-fetch-mode', ANYTHING],
])

/**
 * Reads the head of the request that `bytes` begin with. null: it is incomplete, or differs in any way from
 * the heads that the fast path knows; a whole HTTP parser has to read it. Never throws.
 */
export const readHead = (bytes: Buffer): FastPathHead | null => {
  const end = bytes.subarray(0, HEAD_BYTES_MAX).indexOf('\r\n\r\n')
  if (end < 0) return null
  const [requestLine, ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const target = REQUEST_LINE.exec(requestLine)
  if (target === null) return null
  const [, table, route, queryText] = target as unknown as [string, string, FastPathRoute, string | undefined]
  const headers = readHeaders(lines)
  const format = FORMATS.get(headers?.get('content-type') ?? '')
  if (headers === null || format === undefined) return null
  const taken = ACCEPTED[route][format]
  const bodyBytes = Number(headers.get('content-length'))
  if (taken === undefined || !(bodyBytes <= taken.bodyBytesMax) || !headers.has('host')) return null
  const answer = ANSWERS.get(headers.get('accept') ?? '*/*') ?? 'json'
  if (answer === 'raw' && route !== 'lookup') return null
  const query = readQuery(queryText, taken.queryNames)
  if (query === null) return null
  const facts: HeadFacts = {
    urlBytes: requestLine.length - 'POST  HTTP/1.1'.length,
    headerCount: lines.length,
    hasHost: true,
    needsTables: true,
  }
  return { facts, headBytes: end + 4, table, route, format, answer, query, bodyBytes }
}

const readHeaders = (lines: readonly string[]): Map<string, string> | null => {
  const headers = new Map<string, string>()
  for (const line of lines) {
    const parts = HEADER_LINE.exec(line)
    if (parts === null) return null
    const name = parts[1].toLowerCase()
    if (headers.has(name) || HEADERS.get(name)?.(parts[2]) !== true) return null
    headers.set(name, parts[2])
  }
  return headers
}

const readQuery = (text: string | undefined, names: readonly string[]): FastPathHead['query'] | null => {
  const query: FastPathHead['query'] = []
  for (const pair of text === undefined ? [] : text.split('&')) {
    const [name, value] = pair.split('=')
    if (!names.includes(name) || query.some(([other]) => other === name)) return null
    query.push([name, value])
  }
  return query
}
