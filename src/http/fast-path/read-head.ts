/*
 * The strict reader of request heads. It knows few forms, each to the byte; every other head is for a whole
 * HTTP parser.
 */
import { LIMITS } from '../../core/limits.ts'
import { type Format as RegistryFormat, FORMATS, RAW } from '../../formats/format.ts'
import type { HeadFacts } from '../admit.ts'
import type { Format } from '../negotiate.ts'

/** The head of a request that the fast path answers, as plain data. */
export interface FastPathHead {
  /** The facts that admission decides on. */
  facts: HeadFacts
  /** The empty line included. */
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

/** Longer heads hold more than the fast path knows. */
export const HEAD_BYTES_MAX = 2 * 1024

/** Larger lookups are rare, and cost so much that their head does not matter. */
export const FAST_PATH_LOOKUP_BYTES_MAX = 64 * 1024

const TABLE = '[A-Za-z0-9][A-Za-z0-9_.-]{0,127}'
const OPTION = '[a-z_]+=[A-Za-z0-9.,_-]+'
const REQUEST_LINE = new RegExp(
  String.raw`^POST /v1/tables/(${TABLE})/(lookup|gradients|rows)` +
    String.raw`(?:\?(${OPTION}(?:&${OPTION})*))? HTTP/1\.1$`,
)

interface Accepted {
  bodyBytesMax: number
  /** Options whose values are plain words and numbers; those of a lookup leave the answer one row an id. */
  queryNames: readonly string[]
}

/** Formats that the fast path treats alike: JSON, or the formats of the registry that carry the same. */
type FormatKind = 'json' | RegistryFormat['carries']

/** The bodies that the fast path takes on each route, and the options that the query may have beside them. */
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

/** The formats of bodies by media type, made once: a request looks its own up by the header's text. */
const BODY_FORMATS: ReadonlyMap<string, KnownFormat> = new Map<string, KnownFormat>([
  ['application/json', { format: 'json', kind: 'json' }],
  ...FORMATS.map(({ name, mediaType, carries }): [string, KnownFormat] => [
    mediaType,
    { format: name, kind: carries },
  ]),
])

/** The answers that a client may ask for; without a wish it gets the last of them. */
const ANSWERS: ReadonlyMap<string, FastPathHead['answer']> = new Map<string, FastPathHead['answer']>([
  [RAW.mediaType, RAW.name],
  ['application/json', 'json'],
  ['*/*', 'json'],
])

/** No space before the colon, at most one behind it, none at the end; printable ASCII. */
const HEADER_LINE = /^([A-Za-z-]+): ?([!-~](?:[ -~]*[!-~])?)$/

const ANYTHING = (): boolean => true

/**
 * The headers that the fast path knows, and the values under which it knows what Fastify would do. Those that
 * may be anything are not read. A header that is missing from this list may mean anything: a key, a deadline,
 * a condition, an encoding.
 */
const HEADERS: ReadonlyMap<string, (value: string) => boolean> = new Map<string, (value: string) => boolean>([
  ['host', ANYTHING],
  ['content-type', (value) => BODY_FORMATS.has(value)],
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
 * Reads the head of the request that `bytes` begin with. null: it is incomplete, or not to the byte one that
 * the fast path knows, and is left to a whole HTTP parser. Never throws.
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
  const taken = ACCEPTED[route][kind]
  const bodyBytes = Number(headers.get('content-length'))
  if (taken === undefined || !(bodyBytes <= taken.bodyBytesMax) || !headers.has('host')) return null
  const answer = ANSWERS.get(headers.get('accept') ?? '*/*') ?? 'json'
  if (answer !== 'json' && route !== 'lookup') return null
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
