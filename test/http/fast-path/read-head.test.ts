import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/core/limits.ts'
import { FAST_PATH_LOOKUP_BYTES_MAX, readHead } from '../../../src/http/fast-path/read-head.ts'

const LINE = 'POST /v1/tables/user/lookup HTTP/1.1'
const HEADERS = [
  'Host: here',
  'Content-Type: application/octet-stream',
  'Accept: application/octet-stream',
  'Content-Length: 8',
]
const read = (line: string, headers: readonly string[], body = '') =>
  readHead(Buffer.from(`${[line, ...headers, '', ''].join('\r\n')}${body}`, 'latin1'))
const instead = (name: string, ...lines: string[]): string[] => [
  ...HEADERS.filter((header) => !header.startsWith(name)),
  ...lines,
]

describe('The fast path reads', () => {
  test('a lookup of raw ids that accepts raw rows', () => {
    const head = read(LINE, HEADERS, '12345678and more')
    expect(head).toEqual({
      facts: { urlBytes: LINE.length - 14, headerCount: HEADERS.length, flaw: null, needsTables: true },
      headBytes: 145,
      table: 'user',
      route: 'lookup',
      format: 'raw',
      answer: 'raw',
      query: [],
      bodyBytes: 8,
    })
  })

  test.each<[string, string, string[], object]>([
    [
      'a JSON lookup that accepts JSON',
      'lookup',
      ['application/json', 'application/json'],
      { format: 'json', answer: 'json' },
    ],
    [
      'a JSON lookup that accepts anything',
      'lookup?version=2',
      ['application/json', '*/*'],
      { format: 'json', answer: 'json' },
    ],
    ['a JSON lookup without Accept', 'lookup', ['application/json'], { format: 'json', answer: 'json' }],
    [
      'a JSON lookup that accepts raw rows',
      'lookup',
      ['application/json', 'application/octet-stream'],
      { format: 'json', answer: 'raw' },
    ],
    [
      'a lookup of raw ids that accepts JSON',
      'lookup?mode=clip',
      ['application/octet-stream', 'application/json'],
      { format: 'raw', answer: 'json' },
    ],
    [
      'a lookup of raw ids that accepts anything',
      'lookup',
      ['application/octet-stream', '*/*'],
      { format: 'raw', answer: 'json' },
    ],
    [
      'gradients as JSON',
      'gradients',
      ['application/json', '*/*'],
      { route: 'gradients', format: 'json', answer: 'json' },
    ],
    [
      'gradients as safetensors',
      'gradients?learning_rate=0.5',
      ['application/x-safetensors', 'application/json'],
      { route: 'gradients', format: 'safetensors', answer: 'json', query: [['learning_rate', '0.5']] },
    ],
    ['rows as JSON', 'rows', ['application/json'], { route: 'rows', format: 'json', answer: 'json' }],
    [
      'rows as safetensors',
      'rows?op=add',
      ['application/x-safetensors'],
      { route: 'rows', format: 'safetensors', query: [['op', 'add']] },
    ],
  ])('%s', (_, path, [type, accept], found) => {
    const headers = [
      'Host: here',
      `Content-Type: ${type}`,
      ...(accept === undefined ? [] : [`Accept: ${accept}`]),
      'Content-Length: 8',
    ]
    expect(read(`POST /v1/tables/user/${path} HTTP/1.1`, headers)).toMatchObject(found)
  })

  test('an update of the maximal length', () => {
    const headers = [
      'Host: here',
      'Content-Type: application/json',
      `Content-Length: ${LIMITS.updateBodyBytesMax}`,
    ]
    expect(read('POST /v1/tables/t/rows HTTP/1.1', headers)?.bodyBytes).toBe(LIMITS.updateBodyBytesMax)
    headers[2] = `Content-Length: ${LIMITS.updateBodyBytesMax + 1}`
    expect(read('POST /v1/tables/t/rows HTTP/1.1', headers)).toBe(null)
  })

  test.each(['a', '0.b_c-D', 'x'.repeat(128)])('the table name %s', (name) => {
    expect(read(`POST /v1/tables/${name}/lookup HTTP/1.1`, HEADERS)?.table).toBe(name)
  })

  test('options that are plain words and numbers', () => {
    expect(
      read(
        'POST /v1/tables/t/lookup?mode=fill&fill_value=-1.5&shape=2,1' +
          '&index_dtype=int32&dtype=float16&version=2 HTTP/1.1',
        HEADERS,
      )?.query,
    ).toEqual([
      ['mode', 'fill'],
      ['fill_value', '-1.5'],
      ['shape', '2,1'],
      ['index_dtype', 'int32'],
      ['dtype', 'float16'],
      ['version', '2'],
    ])
  })

  test.each<[string, string[]]>([
    ['in any order', [...HEADERS].reverse()],
    ['in upper case', HEADERS.map((line) => line.replace(/^[^:]*/, (name) => name.toUpperCase()))],
    ['without a space after the colon', HEADERS.map((line) => line.replace(': ', ':'))],
    [
      'that change nothing',
      [
        ...HEADERS,
        'User-Agent: a (b; c)',
        'Accept-Encoding: gzip',
        'Accept-Language: *',
        'Sec-Fetch-Mode: cors',
      ],
    ],
    ['with `Connection: keep-alive`', [...HEADERS, 'Connection: keep-alive']],
    ['with `connection: Keep-Alive`', [...HEADERS, 'connection: Keep-Alive']],
    ['with the longest body', instead('Content-Length', `Content-Length: ${FAST_PATH_LOOKUP_BYTES_MAX}`)],
  ])('headers %s', (_, headers) => {
    expect(read(LINE, headers)).not.toBe(null)
  })
})

describe('The fast path leaves to Fastify', () => {
  test.each([
    'GET /v1/tables/t/lookup HTTP/1.1',
    'QUERY /v1/tables/t/lookup HTTP/1.1',
    'post /v1/tables/t/lookup HTTP/1.1',
    'POST /v1/tables/t/lookup HTTP/1.0',
    'POST /v1/tables/t/lookup HTTP/1.1 ',
    'POST  /v1/tables/t/lookup HTTP/1.1',
    'POST /v1/tables/t/lookup/ HTTP/1.1',
    'POST /v1/tables/t/gradients HTTP/1.1',
    'POST /v1/tables/t/rows?op=set HTTP/1.1',
    'POST /v1/tables/t/data HTTP/1.1',
    'POST /v1/tables/%74/lookup HTTP/1.1',
    'POST /v1/tables/-t/lookup HTTP/1.1',
    'POST /v1/tables//lookup HTTP/1.1',
    `POST /v1/tables/${'x'.repeat(129)}/lookup HTTP/1.1`,
    'POST http://here/v1/tables/t/lookup HTTP/1.1',
    'POST /v1/tables/t/lookup? HTTP/1.1',
    'POST /v1/tables/t/lookup?mode= HTTP/1.1',
    'POST /v1/tables/t/lookup?mode=%63lip HTTP/1.1',
    'POST /v1/tables/t/lookup?mode=clip&mode=wrap HTTP/1.1',
    'POST /v1/tables/t/lookup?mode=clip& HTTP/1.1',
    'POST /v1/tables/t/lookup?pooling=sum HTTP/1.1',
    'POST /v1/tables/t/lookup?__proto__=1 HTTP/1.1',
  ])('%s', (line) => {
    expect(read(line, HEADERS)).toBe(null)
  })

  test.each<[string, string[]]>([
    ['without Host', instead('Host')],
    ['without a type', instead('Content-Type')],
    ['without a length', instead('Content-Length')],
    ['with the same length twice', [...HEADERS, HEADERS[3]]],
    ['with two lengths', [...HEADERS, 'Content-Length: 4']],
    ['that are unknown to it', [...HEADERS, 'X-Request-Timeout-Ms: 5']],
    ['with an access key', [...HEADERS, 'Authorization: Bearer x']],
    ['with chunked encoding', [...HEADERS, 'Transfer-Encoding: chunked']],
    ['with an expectation', [...HEADERS, 'Expect: 100-continue']],
    ['with `Connection: close`', [...HEADERS, 'Connection: close']],
    ['of more than 2 KiB', [...HEADERS, `User-Agent: ${'x'.repeat(2_000)}`]],
    ['of a safetensors lookup', instead('Content-Type', 'Content-Type: application/x-safetensors')],
    ['that accept safetensors', instead('Accept:', 'Accept: application/x-safetensors')],
    ['that accept several types', instead('Accept:', 'Accept: application/json, */*')],
    ['with media type parameters', instead('Content-Type', 'Content-Type: application/octet-stream; a=b')],
    ['with an empty value', [...HEADERS, 'User-Agent:']],
    ['with a tab', [...HEADERS, 'User-Agent:\tme']],
    ['with two spaces', [...HEADERS, 'User-Agent:  me']],
    ['with a space at the end', [...HEADERS, 'User-Agent: me ']],
    ['with a space before the colon', [...HEADERS, 'User-Agent : me']],
    ['with folded lines', [...HEADERS, 'User-Agent: me\r\n too']],
    ['with bare line feeds', [...HEADERS, 'User-Agent: me\nAccept-Encoding: gzip']],
    ['with control characters', [...HEADERS, 'User-Agent: \x01']],
    ['with bytes beyond ASCII', [...HEADERS, 'User-Agent: \xe9']],
    ...['0', '08', '+8', '-8', '8.0', '0x8', '8,8', '65537', '99999', '9'.repeat(20)].map(
      (length): [string, string[]] => [
        `with the length ${length}`,
        instead('Content-Length', `Content-Length: ${length}`),
      ],
    ),
  ])('headers %s', (_, headers) => {
    expect(read(LINE, headers)).toBe(null)
  })

  test.each([
    ['a query parameter of another route', 'rows?learning_rate=1', 'application/x-safetensors'],
    ['a query parameter beside a JSON update', 'gradients?learning_rate=1', 'application/json'],
    ['a query parameter of raw ids beside a JSON lookup', 'lookup?mode=clip', 'application/json'],
    ['raw numbers for an update', 'gradients', 'application/octet-stream'],
  ])('%s', (_, path, type) => {
    expect(
      read(`POST /v1/tables/t/${path} HTTP/1.1`, [
        'Host: here',
        `Content-Type: ${type}`,
        'Content-Length: 8',
      ]),
    ).toBe(null)
  })

  test('an update that accepts raw rows', () => {
    const headers = [
      'Host: here',
      'Content-Type: application/json',
      'Accept: application/octet-stream',
      'Content-Length: 8',
    ]
    expect(read('POST /v1/tables/t/gradients HTTP/1.1', headers)).toBe(null)
  })

  test('every incomplete head', () => {
    const whole = Buffer.from([LINE, ...HEADERS, '', ''].join('\r\n'))
    for (let end = 0; end < whole.length; end++) expect(readHead(whole.subarray(0, end))).toBe(null)
    expect(readHead(whole)).not.toBe(null)
  })

  test('lines that end in anything but CR LF', () => {
    const whole = [LINE, ...HEADERS, '', ''].join('\r\n')
    for (const end of ['\n', '\r', '\r\r\n', '\n\r'])
      expect(readHead(Buffer.from(`${whole.replaceAll('\r\n', end)}\r\n\r\n`))).toBe(null)
  })
})
