/**
 * Reads request heads strictly. It knows few forms, byte for byte; every other head is left to Node's HTTP
 * parser.
 */
import { LIMITS } from '../../core/limits.ts'
import { type Format as RegistryFormat, FORMATS, RAW } from '../../formats/format.ts'
import type { HeadFacts } from '../admit.ts'
import { isHost } from '../head-facts.ts'
import type { Format } from '../negotiate.ts'

/** The head of a request that the fast path answers, as plain data. */
export interface FastPathHead {
  /** The facts that admission decides on. */
  facts: HeadFacts
  /** The length of the head, including the empty line. */
  headBytes: number
  table: string
  route: FastPathRoute
  /** The format of the body. */
  format: Format
  /** The format of the answer. */
  answer: 'json' | typeof RAW.name
  /** The query, in the order given; each name comes once. */
  query: [name: string, value: string][]
  bodyBytes: number
}

export type FastPathRoute = 'lookup' | 'gradients' | 'rows'

/** Longer heads contain headers that the fast path does not know. */
export const HEAD_BYTES_MAX = 2 * 1024

/** Larger lookups are rare, and cost so much that the cost of parsing their head does not matter. */
export const FAST_PATH_LOOKUP_BYTES_MAX = 64 * 1024

const TABLE = '[A-Za-z0-9][A-Za-z0-9_.-]{0,127}'
const OPTION = '[a-z_]+=[A-Za-z0-9.,_-]+'
const REQUEST_LINE = new RegExp(
  String.raw`^POST /v1/tables/(${TABLE})/(lookup|gradients|rows)` +
    String.raw`(?:\?(${OPTION}(?:&${OPTION})*))? HTTP/1\.1$`,
)

interface Accepted {
  bodyBytesMax: number
  /**
   * The query options whose values are plain words and numbers. Those of a lookup leave the answer one row
   * per id.
   */
  queryNames: readonly string[]
}

/** Formats that the fast path treats alike: JSON, or the formats of the registry that carry the same. */
type FormatKind = 'json' | RegistryFormat['carries']

/**
 * The bodies that the fast path accepts on each route, and the options that the query may have beside them.
 */
const ACCEPTED: Readonly<Record<FastPathRoute, Partial<Record<FormatKind, Accepted>>>> = {
  lookup: {
    numbers: {
      bodyBytesMax: FAST_PATH_LOOKUP_BYTES_MAX,
      queryNames: ['mode', 'dtype', 'index_dtype', 'shape', 'fill_value', 'version'],
    },
    json: { bodyBytesMax: FAST_PATH_LOOKUP_BYTES_MAX, queryNames: ['version'] },
  },
  gradients: {
    'named arrays': { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: ['learning_rate'] },
    json: { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: [] },
  },
  rows: {
    'named arrays': { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: ['op'] },
    json: { bodyBytesMax: LIMITS.updateBodyBytesMax, queryNames: [] },
  },
}

interface KnownFormat {
  format: Format
  kind: FormatKind
}

/** The formats of bodies by media type, so that a request finds its own by the text of the header. */
const BODY_FORMATS: ReadonlyMap<string, KnownFormat> = new Map<string, KnownFormat>([
  ['application/json', { format: 'json', kind: 'json' }],
  ...FORMATS.map(({ name, mediaType, carries }): [string, KnownFormat] => [
    mediaType,
    { format: name, kind: carries },
  ]),
])

/** The formats of answers by `Accept`. Without that header the last entry applies. */
const ANSWERS: ReadonlyMap<string, FastPathHead['answer']> = new Map<string, FastPathHead['answer']>([
  [RAW.mediaType, RAW.name],
  ['application/json', 'json'],
  ['*/*', 'json'],
])

/** A header line: no space before the colon, at most one behind it, none at the end; printable ASCII. */
const HEADER_LINE = /^([A-Za-z-]+): ?([!-~](?:[ -~]*[!-~])?)$/

const ANYTHING = (): boolean => true

/**
 * The headers that the fast path knows, each with the values for which it behaves as Fastify does. Headers
 * that may have any value are not read. A header that is missing from this list may change the request: it
 * may be a key, a deadline, a condition or an encoding.
 */
const HEADERS: ReadonlyMap<string, (value: string) => boolean> = new Map<string, (value: string) => boolean>([
  ['host', isHost],
  ['content-type', (value) => BODY_FORMATS.has(value)],
  ['accept', (value) => ANSWERS.has(value)],
  ['content-length', (value) => /^[1-9][0-9]{0,8}$/.test(value)],
  ['connection', (value) => value === 'keep-alive' || value === 'Keep-Alive'],
  ['user-agent', ANYTHING],
  ['accept-encoding', ANYTHING],
  ['accept-language', ANYTHING],
  // Node's fetch sends this header.
  ['sec-fetch-mode', ANYTHING],
])

/**
 * Reads the head of the request that `bytes` begin with. null: the head is incomplete or has a form that the
 * fast path does not know, and is left to Node's HTTP parser. Never throws.
 */
export const readHead = (bytes: Buffer): FastPathHead | null => {
  const end = bytes.subarray(0, HEAD_BYTES_MAX).indexOf('\r\n\r\n')
  if (end < 0) return null
  const [requestLine, ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const target = REQUEST_LINE.exec(requestLine)
  if (target === null) return null
  const [, table, route, queryText] = target as unknown as [string, string, FastPathRoute, string | undefined]
  const headers = readHeaders(lines)
  const known = BODY_FORMATS.get(headers?.get('content-type') ?? '')
  if (headers === null || known === undefined) return null
  const { format, kind } = known
  const accepted = ACCEPTED[route][kind]
  const bodyBytes = Number(headers.get('content-length'))
  if (accepted === undefined || !(bodyBytes <= accepted.bodyBytesMax) || !headers.has('host')) return null
  const answer = ANSWERS.get(headers.get('accept') ?? '*/*') ?? 'json'
  if (answer !== 'json' && route !== 'lookup') return null
  const query = readQuery(queryText, accepted.queryNames)
  if (query === null) return null
  const facts: HeadFacts = {
    urlBytes: requestLine.length - 'POST  HTTP/1.1'.length,
    headerCount: lines.length,
    flaw: null,
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
