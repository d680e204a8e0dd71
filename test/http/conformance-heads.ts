/** Rows about the heads of requests and the framing of bodies (RFC 9110, RFC 9112). */
import {
  BAD,
  BAD_BODY,
  BAD_CODING,
  BAD_VERSION,
  CHUNKED,
  chunks,
  type ConformanceRow,
  ending,
  get,
  HOST,
  JSON_TYPE,
  lookUp,
  type Short,
  staying,
} from './conformance-requests.ts'

/** Requests whose extent is in doubt: they are refused, and their connections end. */
export const FRAMING: readonly ConformanceRow[] = [
  ['Content-Length and Transfer-Encoding', '9112 6.1', lookUp(CHUNKED.slice(0, -2)), BAD, [400, 200]],
  ['two lengths', '9112 6.3', lookUp('Content-Length: 3\r\n'), BAD, [400]],
  ['a length with a sign', '9112 6.3', get('/livez', 'Content-Length: +1\r\n'), BAD, [400]],
  ['a negative length', '9112 6.3', get('/livez', 'Content-Length: -1\r\n'), BAD, [400]],
  ['a length in hexadecimal', '9112 6.3', get('/livez', 'Content-Length: 0x1\r\n'), BAD, [400]],
  ['a chunk size that is no number', '9112 7.1', chunks('zz\r\n{}\r\n0\r\n\r\n'), BAD_BODY, [400]],
  ['a negative chunk size', '9112 7.1', chunks('-2\r\n{}\r\n0\r\n\r\n'), BAD_BODY, [400]],
  ['a chunk size beyond 64 bits', '9112 7.1', chunks('fffffffffffffffff\r\n{}\r\n'), BAD_BODY, [400, 413]],
  ['a chunk longer than its size', '9112 7.1', chunks('2\r\n{}}\r\n0\r\n\r\n'), BAD_BODY, [400]],
  ['a chunk that ends in LF alone', '9112 7.1', chunks('2\n{}\n0\n\n'), BAD_BODY, 'skip'],
  ['a folded header', '9112 5.2', get('/livez', 'X-A: b\r\n c\r\n'), BAD, [200, 400]],
  ['a space before a colon', '9112 5.1', get('/livez', 'X-A : b\r\n'), BAD, [200, 400]],
  ['a space before the first header', '9112 2.2', get('/livez').replace('Host', ' Host'), BAD, [400]],
  ['lines that end in LF alone', '9112 2.2', get('/livez').replaceAll('\r\n', '\n'), BAD, [200, 400]],
  ['a line of the head that ends in LF alone', '9112 2.2', get('/livez', 'A: b\nC: d\r\n'), BAD, [200, 400]],
  ['a CR within a header', '9112 2.2', get('/livez', 'A: b\rc\r\n'), BAD, [200, 400]],
  ['a NUL within a header', '9110 5.5', get('/livez', 'A: b\0c\r\n'), BAD, [200, 400]],
  ['a header without a name', '9112 5', get('/livez', ': b\r\n'), BAD, [200, 400]],
  ['a header without a colon', '9112 5', get('/livez', 'nothing\r\n'), BAD, [200, 400]],
].map((row) => ending(row as Short))

/** Only chunked is read. */
export const CODINGS: readonly ConformanceRow[] = [
  ['gzip, chunked', '9112 6.1', 'gzip, chunked', BAD_CODING],
  ['gzip alone', '9112 6.1', 'gzip', BAD_CODING],
  ['chunked, then gzip', '9112 6.1', 'chunked, gzip', BAD_CODING],
  ['chunked twice', '9112 7', 'chunked, chunked', BAD_CODING],
  ['identity', '9112 6.1', 'identity', BAD_CODING],
  ['an unknown coding', '9112 6.1', 'x-new, chunked', BAD_CODING],
].map(([about, section, coding, answer]) =>
  ending([
    `the transfer coding ${about as string}`,
    section as string,
    `PUT /v1/tables/coded HTTP/1.1\r\n${HOST}${JSON_TYPE}Transfer-Encoding: ${coding as string}\r\n\r\n0\r\n\r\n`,
    answer as typeof BAD_CODING,
    // haproxy refuses it by a status of its own.
    [400, 422, 501],
  ]),
)

/** One Host, with a name or an address. */
export const HOSTS: readonly ConformanceRow[] = [
  staying(['no Host', '9112 3.2', 'GET /livez HTTP/1.1\r\n\r\n', BAD, [400, 200]]),
  staying(['two Hosts', '9112 3.2', get('/livez', 'Host: here\r\n'), BAD, [400, 200]]),
  staying(['two Hosts that differ', '9112 3.2', get('/livez', 'host: there\r\n'), BAD, [400, 200]]),
  staying(['two Hosts of a lookup', '9112 3.2', lookUp('Host: here\r\n'), BAD, [400, 200]]),
  staying(['a Host with a space', '9112 3.2', get('/livez').replace('here', 'a b'), BAD, [400, 200]]),
  staying(['a Host with a path', '9112 3.2', get('/livez').replace('here', 'a/b'), BAD, [400, 200]]),
  staying(['a Host with a user', '9112 3.2', lookUp().replace('here', 'u@a'), BAD, [400, 200]]),
  staying(['a port that is no number', '9112 3.2', get('/livez').replace('here', 'a:b'), BAD, [400, 200]]),
  staying(['an empty Host', '9112 3.2', get('/livez').replace('here', ''), 200, [400, 200]]),
  staying(['an IPv6 Host', '9112 3.2', get('/livez').replace('here', '[::1]:8080'), 200]),
  ending(['HTTP/1.0 without Host', '9112 3.2', 'GET /livez HTTP/1.0\r\n\r\n', 200]),
]

/** Versions, methods and targets. */
export const LINES: readonly ConformanceRow[] = [
  ending(['HTTP/2.0', '9110 15.6.6', get('/livez').replace('/1.1', '/2.0'), BAD_VERSION, [200, 400, 505]]),
  ending(['HTTP/3.0', '9110 15.6.6', lookUp().replace('/1.1', '/3.0'), BAD_VERSION, [200, 400, 505]]),
  ending(['HTTP/0.9', '9110 15.6.6', get('/livez').replace('/1.1', '/0.9'), BAD_VERSION, [200, 400, 505]]),
  ending(['a version without numbers', '9112 2.3', get('/livez').replace('/1.1', '/x.y'), BAD, [400]]),
  ending(['no version', '9112 3', 'GET /livez\r\n\r\n', BAD_VERSION, 'skip']),
  ending(['a method in lower case', '9112 3.1', get('/livez').toLowerCase(), BAD, [400, 405]]),
  ending([
    'CONNECT',
    '9110 9.3.6',
    get('there:80').replace('GET', 'CONNECT'),
    [405, 'METHOD_NOT_ALLOWED'],
    [400, 405],
  ]),
  staying(['TRACE', '9110 9.3.8', get('/livez').replace('GET', 'TRACE'), [405, 'METHOD_NOT_ALLOWED'], [405]]),
  staying(['a whole URI as the target', '9112 3.2.2', get('http://here/livez'), 200]),
  staying(['a whole URI without a path', '9112 3.2.2', get('http://here'), 200]),
  staying(['OPTIONS of the server', '9112 3.2.4', get('*').replace('GET', 'OPTIONS'), 204, [204, 400]]),
  staying(['empty lines before a request', '9112 2.2', `\r\n\r\n${get('/livez')}`, 200]),
  staying(['__proto__ in a query', '9110 15.5.1', get('/v1/tables?__proto__=1'), BAD]),
  staying([
    '__proto__ in the query of a lookup',
    '9110 15.5.1',
    lookUp().replace('/lookup', '/lookup?__proto__=1'),
    BAD,
  ]),
  staying(['constructor in a query', '9110 15.5.1', get('/v1/tables/kept/rows?constructor=1'), BAD]),
]

/** Takes 'Expect: 100-continue' with this type and length, and sends no body. */
const expecting = (type: string, length: number, path = '/v1/tables/new'): string =>
  `PUT ${path} HTTP/1.1\r\n${HOST}Content-Type: ${type}\r\nExpect: 100-continue\r\nContent-Length: ${length}\r\n\r\n`

/** A body is asked for when it is wanted, and not before. */
export const EXPECTATIONS: readonly ConformanceRow[] = [
  ending([
    'a held back body of a wrong type',
    '9110 10.1.1',
    expecting('text/plain', 9),
    [415, 'UNSUPPORTED_MEDIA_TYPE'],
    'skip',
  ]),
  ending([
    'a held back body too large',
    '9110 10.1.1',
    expecting('application/json', 1e9),
    [413, 'BODY_TOO_LARGE'],
    'skip',
  ]),
  ending([
    'a held back body without its shape',
    '9110 10.1.1',
    expecting('application/octet-stream', 9),
    BAD,
    'skip',
  ]),
  ending([
    'a held back body of an unknown path',
    '9110 10.1.1',
    expecting('application/json', 9, '/v1/none'),
    [404, 'ROUTE_NOT_FOUND'],
    'skip',
  ]),
  {
    about: 'a body that is sent without waiting',
    section: '9110 10.1.1',
    send: lookUp('Expect: 100-continue\r\n'),
    interim: [100],
    answers: [200],
    after: 'open',
  },
  staying([
    'an expectation that is not known',
    '9110 15.5.18',
    get('/livez', 'Expect: tea\r\n'),
    [417, 'INVALID_REQUEST'],
    [417, 200],
  ]),
  staying([
    'an expectation of HTTP/1.0',
    '9110 10.1.1',
    get('/livez', 'Expect: tea\r\nConnection: keep-alive\r\n').replace('1.1', '1.0'),
    200,
    [200, 417],
  ]),
]
