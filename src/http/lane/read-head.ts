/** The head of a request that the lane answers: a lookup of raw ids that wants raw rows. Plain data. */
export interface LaneHead {
  /** The empty line included. */
  headBytes: number
  table: string
  /** In the order given, each name once. */
  query: [name: string, value: string][]
  bodyBytes: number
}

/** Whoever sends a longer head has more to say than the lane listens to. */
export const HEAD_BYTES_MAX = 2 * 1024

/** Larger lookups are rare and dear: their head is no part of their cost. */
export const LANE_BODY_BYTES_MAX = 64 * 1024

const REQUEST_LINE =
  /^POST \/v1\/tables\/([A-Za-z0-9][A-Za-z0-9_.-]{0,127})\/lookup(?:\?([a-z_]+=[A-Za-z0-9.,_-]+(?:&[a-z_]+=[A-Za-z0-9.,_-]+)*))? HTTP\/1\.1$/

/** The options whose values are plain words and numbers, and that leave the answer one row an id. */
const QUERY_NAMES = new Set(['mode', 'dtype', 'index_dtype', 'shape', 'fill_value', 'version'])

/** No space before the colon, at most one behind it, none at the end; printable ASCII. */
const HEADER_LINE = /^([A-Za-z-]+): ?([!-~](?:[ -~]*[!-~])?)$/

const OCTET_STREAM = (value: string): boolean => value === 'application/octet-stream'
const ANYTHING = (): boolean => true

/**
 * The headers that the lane knows, and the values under which it knows what Fastify would do. Nobody here reads those that may be
 * anything. One that is missing from this list may mean anything: a key, a deadline, a condition, an encoding.
 */
const HEADERS: ReadonlyMap<string, (value: string) => boolean> = new Map([
  ['host', ANYTHING],
  ['content-type', OCTET_STREAM],
  ['accept', OCTET_STREAM],
  ['content-length', (value) => /^[1-9][0-9]{0,4}$/.test(value) && Number(value) <= LANE_BODY_BYTES_MAX],
  ['connection', (value) => value === 'keep-alive' || value === 'Keep-Alive'],
  ['user-agent', ANYTHING],
  ['accept-encoding', ANYTHING],
  ['accept-language', ANYTHING],
  // Node's fetch says it of itself.
  ['sec-fetch-mode', ANYTHING],
])

const REQUIRED = ['host', 'content-type', 'accept', 'content-length'] as const

/**
 * Reads the head of the request that `bytes` begin with. null: it is incomplete, or in any way another than the one the lane knows to
 * the byte; what it is then is for a whole HTTP parser to say. Never throws.
 */
export const readHead = (bytes: Buffer): LaneHead | null => {
  const end = bytes.subarray(0, HEAD_BYTES_MAX).indexOf('\r\n\r\n')
  if (end < 0) return null
  const [requestLine, ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const target = REQUEST_LINE.exec(requestLine)
  if (target === null) return null
  const headers = readHeaders(lines)
  const query = readQuery(target[2])
  if (headers === null || query === null) return null
  return { headBytes: end + 4, table: target[1], query, bodyBytes: Number(headers.get('content-length')) }
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
  return REQUIRED.every((name) => headers.has(name)) ? headers : null
}

const readQuery = (text: string | undefined): LaneHead['query'] | null => {
  const query: LaneHead['query'] = []
  for (const pair of text === undefined ? [] : text.split('&')) {
    const [name, value] = pair.split('=')
    if (!QUERY_NAMES.has(name) || query.some(([other]) => other === name)) return null
    query.push([name, value])
  }
  return query
}
