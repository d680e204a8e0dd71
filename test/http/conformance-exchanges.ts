/** Rows about connections, conditions, negotiation and early answers (RFC 9110, RFC 9112). */
import {
  BAD,
  BAD_BODY,
  chunks,
  type ConformanceRow,
  ending,
  get,
  HOST,
  lookUp,
  put,
  send,
  staying,
  type Validators,
} from './conformance-requests.ts'

const half = (row: Omit<ConformanceRow, 'section' | 'after' | 'isHalfClosed'>): ConformanceRow => ({
  ...row,
  section: '9112 9.6',
  after: 'ends',
  isHalfClosed: true,
})

/** Clients that have nothing more to send still wait for answers. nginx takes the end for a departure. */
export const HALF_CLOSED: readonly ConformanceRow[] = [
  half({ about: 'a lookup, then the end', send: lookUp(), answers: [200], behind: 'skip' }),
  half({ about: 'an upload, then the end', send: put('half', '[[1]]'), answers: [201], behind: 'skip' }),
  half({
    about: 'a description, then the end',
    send: get('/v1/tables/kept'),
    answers: [200],
    behind: 'skip',
  }),
  half({
    about: 'several requests, then the end',
    send: get('/livez') + lookUp() + get('/v1/tables'),
    answers: [200, 200, 200],
    behind: 'skip',
  }),
  half({
    about: 'half a body, then the end',
    send: lookUp().slice(0, -2),
    answers: [BAD_BODY],
    behind: 'skip',
  }),
  half({
    about: 'half a body in chunks, then the end',
    send: chunks('f\r\n{"ind'),
    answers: [BAD_BODY],
    behind: 'skip',
  }),
]

const ordered = (
  about: string,
  parts: readonly string[],
  answers: ConformanceRow['answers'],
): ConformanceRow => ({
  about,
  section: '9112 9.3.2',
  send: parts.join(''),
  answers,
  after: 'open',
})

const table = (name: string, method = 'GET'): string => `${method} /v1/tables/${name} HTTP/1.1\r\n${HOST}\r\n`
const lookUpIn = (name: string): string => lookUp().replace('kept', name)
const padding = (value: number): string => send('PATCH', '/v1/tables/line', `{"padding_index":${value}}`)

/** Requests that are sent without waiting take effect one after the other. */
export const PIPELINED: readonly ConformanceRow[] = [
  ordered(
    'create, read, delete, read',
    [put('line', '[[1],[2]]'), table('line'), lookUpIn('line'), table('line', 'DELETE'), table('line')],
    [201, 200, 200, 204, 404],
  ),
  ordered(
    'create, change, look up, delete, look up',
    [
      put('line', '[[1],[2]]'),
      padding(9),
      padding(1),
      lookUpIn('line'),
      table('line', 'DELETE'),
      lookUpIn('line'),
    ],
    [201, 400, 200, 200, 204, 404],
  ),
  ordered(
    'refuse, create, delete',
    [put('line', '[[1],[2,3]]'), put('line', '[[1]]'), table('line', 'DELETE')],
    [422, 201, 204],
  ),
  ordered(
    'read, read, read',
    [get('/livez'), get('/v1/tables/none'), get('/v1/tables/kept')],
    [200, 404, 200],
  ),
  {
    ...ordered(
      'a request behind the last one',
      [get('/livez', 'Connection: close\r\n'), table('kept', 'DELETE')],
      [200],
    ),
    after: 'ends',
  },
  {
    ...ordered(
      'a request behind an upgrade',
      [get('/livez', 'Connection: Upgrade\r\nUpgrade: h2c\r\n'), get('/v1/tables')],
      [200],
    ),
    after: 'ends',
    behind: 'skip',
  },
]

const matching =
  (path: string, tag: keyof Validators, header: string, weak = ''): ((tags: Validators) => string) =>
  (tags) =>
    get(path, `${header}: ${weak}${tags[tag]}\r\n`)

/** What an answer without a body says, and how tags are compared. */
export const VALIDATORS: readonly ConformanceRow[] = [
  {
    about: 'a description that the client has',
    section: '9110 15.4.5',
    send: matching('/v1/tables/kept', 'info', 'If-None-Match'),
    answers: [304],
    after: 'open',
    headers: { etag: /^"/, 'cache-control': /no-cache/, 'x-table-version': /^\d+$/ },
  },
  {
    about: 'data that the client has',
    section: '9110 15.4.5',
    send: matching('/v1/tables/kept/data', 'data', 'If-None-Match'),
    answers: [304],
    after: 'open',
    headers: { etag: /^"/, 'cache-control': /no-cache/, vary: /accept/i },
  },
  {
    about: 'a description by a weak tag',
    section: '9110 13.1.2',
    send: matching('/v1/tables/kept', 'info', 'If-None-Match', 'W/'),
    answers: [304],
    after: 'open',
  },
  {
    about: 'a replacement of what is known, by a weak tag',
    section: '9110 13.1.2',
    send: (tags) => put('kept', '[[9]]', `If-None-Match: W/${tags.info}\r\n`),
    answers: [[412, 'PRECONDITION_FAILED']],
    after: 'open',
  },
]

/** Conditions that do not hold. */
export const CONDITIONS: readonly ConformanceRow[] = [
  {
    about: 'a weak tag where it must be strong',
    section: '9110 13.1.1',
    send: matching('/v1/tables/kept', 'info', 'If-Match', 'W/'),
    answers: [[412, 'PRECONDITION_FAILED']],
    after: 'open',
  },
  {
    about: 'the head of a description',
    section: '9110 9.3.2',
    send: get('/v1/tables/kept').replace('GET', 'HEAD'),
    method: 'HEAD',
    answers: [200],
    after: 'open',
    headers: { 'content-length': /^[1-9]/ },
  },
]

const accepting = (accept: string): string => get('/v1/tables', `Accept: ${accept}\r\n`)

/** Accept, as clients send it. */
export const NEGOTIATION: readonly ConformanceRow[] = [
  staying([
    'the Accept of Java',
    '9110 12.5.1',
    accepting('text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2'),
    200,
  ]),
  staying(['a weight that is no number', '9110 12.4.2', accepting('application/json;q=high'), 200]),
  staying(['a comma in a parameter', '9110 5.6.6', accepting('a/b;x="c,d", application/json;q=0.1'), 200]),
  staying(['nothing that there is', '9110 15.5.7', accepting('text/html'), [406, 'NOT_ACCEPTABLE']]),
  staying([
    'what there is, at no weight',
    '9110 12.4.2',
    accepting('application/json;q=0.000, text/html'),
    [406, 'NOT_ACCEPTABLE'],
  ]),
]

const LARGE = ' '.repeat(900_000)
const refused = (path: string, type: string, lines: string, method = 'PUT'): string =>
  send(method, path, LARGE, `Content-Type: ${type}\r\n${lines}`)

/** Refusals of bodies that are still being sent must arrive, whether the connection stays or ends. */
export const EARLY: readonly ConformanceRow[] = (
  [
    ['of a wrong type', '/v1/tables/new', 'text/plain', [415, 'UNSUPPORTED_MEDIA_TYPE']],
    ['of an unknown path', '/v1/none', 'text/plain', [404, 'ROUTE_NOT_FOUND']],
    ['without its shape', '/v1/tables/new', 'application/octet-stream', BAD],
    ['that is no npy file', '/v1/tables/new', 'application/x-npy', BAD_BODY],
  ] as const
).flatMap(([about, path, type, answer]) => [
  staying([`a body ${about}`, '9112 9.3', refused(path, type, ''), answer]),
  ending([`the last body ${about}`, '9112 9.6', refused(path, type, 'Connection: close\r\n'), answer]),
  ending([`a body of HTTP/1.0 ${about}`, '9112 9.6', refused(path, type, '').replace('1.1', '1.0'), answer]),
])
