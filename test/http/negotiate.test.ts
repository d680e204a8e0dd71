import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/core/errors.ts'
import { GatherdError } from '../../src/core/errors.ts'
import { parseEntityTags, parsePrecondition } from '../../src/http/conditions.ts'
import {
  chooseByAccept,
  type Format,
  isRequestId,
  negotiateFormat,
  parseFormat,
  parseMediaType,
  parseRequestTimeout,
} from '../../src/http/negotiate.ts'

const ALL: Format[] = ['json', 'raw', 'npy', 'safetensors']

const codeOf = (act: () => unknown): ErrorCode | undefined => {
  try {
    act()
  } catch (error) {
    if (error instanceof GatherdError) return error.code
    throw error
  }
  return undefined
}

describe('a media type', () => {
  test.each([
    ['application/json', 'application/json'],
    ['Application/JSON', 'application/json'],
    [' application/json ; charset=utf-8', 'application/json'],
    ['application/x-npy\t;a=b', 'application/x-npy'],
    ['\tapplication/x-npy\t', 'application/x-npy'],
    ['*/*', '*/*'],
  ])('%j is read as %s', (header, type) => {
    expect(parseMediaType(header)).toBe(type)
  })

  test.each([
    '',
    'json',
    'application/',
    '/json',
    'application/json x',
    'application/js on',
    'a/b/c',
    'application/json\ta',
    'text/html, a/b',
  ])('%j is not one', (header) => {
    expect(parseMediaType(header)).toBeUndefined()
  })

  test('names one of the formats or none', () => {
    expect(parseFormat('application/x-safetensors; x=y')).toBe('safetensors')
    expect(parseFormat('APPLICATION/OCTET-STREAM')).toBe('raw')
    expect(parseFormat('text/plain')).toBeUndefined()
    expect(parseFormat('constructor')).toBeUndefined()
    expect(parseFormat(undefined)).toBeUndefined()
  })
})

describe('Accept', () => {
  test.each([
    [undefined, 'json'],
    ['', 'json'],
    ['*/*', 'json'],
    ['application/*', 'json'],
    ['application/x-npy', 'npy'],
    ['application/X-NPY; q=0.5', 'npy'],
    ['text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8', 'json'],
    ['application/json;q=0.1, application/x-safetensors;q=0.9', 'safetensors'],
    ['application/json;q=0.5, application/octet-stream', 'raw'],
    ['*/*, application/x-npy', 'npy'],
    ['application/x-npy, application/json', 'npy'],
    ['application/json, application/x-npy', 'json'],
    ['*/*, application/json;q=0', 'raw'],
    ['application/*;q=0.2, application/x-npy;q=0.1', 'json'],
    ['text/plain, application/json ; Q=1.000', 'json'],
    ['garbage, application/x-npy', 'npy'],
    ['application/json;q=2, application/x-npy;q=0.001', 'json'],
    ['text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2', 'json'],
    ['application/x-npy; q=.5, application/json; q=.25', 'npy'],
    ['*', 'json'],
    ['application/x-npy;q=x, application/json;q=0.5', 'npy'],
    ['application/x-npy;q=, application/json;q=0.5', 'npy'],
    ['application/x-npy; a="b,c;q=0"; q=0.9, application/json; q=0.8', 'npy'],
    ['application/json;q=0.5;level=1,application/x-npy;q=0.6;', 'npy'],
    [', ,application/x-npy,', 'npy'],
  ])('of %j is answered in %s', (accept, format) => {
    expect(negotiateFormat(accept, ALL)).toBe(format)
  })

  test.each([
    'text/html',
    'text/*',
    'application/json;q=0',
    'garbage',
    '*/*;q=0',
    'application/problem+json',
  ])('of %j is refused as NOT_ACCEPTABLE', (accept) => {
    expect(codeOf(() => negotiateFormat(accept, ALL))).toBe('NOT_ACCEPTABLE')
  })

  test('without a preference chooses the first offer', () => {
    expect(negotiateFormat('application/*', ['npy', 'raw'])).toBe('npy')
    expect(codeOf(() => negotiateFormat('application/json', ['npy', 'raw']))).toBe('NOT_ACCEPTABLE')
  })

  test('never chooses a type that is not offered', () => {
    const range = fc.tuple(
      fc.constantFrom('*/*', 'application/*', 'application/json', 'application/x-npy', 'a/b', 'x'),
      fc.constantFrom('', ';q=0', ';q=0.3', ';q=x'),
    )
    fc.assert(
      fc.property(fc.array(range), (ranges) => {
        const accept = ranges.map(([type, quality]) => type + quality).join(',')
        const chosen = chooseByAccept(accept, ['application/json', 'application/x-npy'], (type) => type)
        expect(['application/json', 'application/x-npy', undefined]).toContain(chosen)
        if (chosen !== undefined) expect(accept).toMatch(/application|\*/)
      }),
    )
  })
})

describe('entity tags', () => {
  test.each([
    ['*', ['*']],
    [' * ', ['*']],
    ['"3-17"', ['3-17']],
    ['"3-17", "4-0"', ['3-17', '4-0']],
    ['"3-17","4-0" ,\t"3"', ['3-17', '4-0', '3']],
    ['""', ['']],
    ['W/"3-17"', ['W/3-17']],
    ['W/"3-17", "4-0"', ['W/3-17', '4-0']],
    ['"a",,"b"', ['a', 'b']],
    [', "a" ,', ['a']],
    ['"*"', []],
  ])('in %j are read as %j', (header, tags) => {
    const listed = parseEntityTags('If-Match', header)
    expect(listed.map(({ tag, isWeak }) => (isWeak ? `W/${tag}` : tag))).toEqual(tags)
  })

  test.each(['', '3-17', '"3-17', '"a" "b"', '*, "a"', '"a", *', 'w/"a"', '"a"b', ',', ' , ,'])(
    'in %j are malformed',
    (header) => {
      expect(codeOf(() => parseEntityTags('If-Match', header))).toBe('INVALID_REQUEST')
    },
  )

  test('become the precondition of a request', () => {
    expect(parsePrecondition({})).toEqual({})
    expect(parsePrecondition({ 'if-match': '"1"', 'if-none-match': '*' })).toEqual({
      ifMatch: ['1'],
      ifNoneMatch: ['*'],
    })
  })
})

test('X-Request-Timeout-Ms is a whole number of milliseconds', () => {
  expect(parseRequestTimeout(undefined)).toBeUndefined()
  expect(parseRequestTimeout('250')).toBe(250)
  expect(parseRequestTimeout('0')).toBe(0)
  for (const header of ['', '-1', '1.5', '1e3', ' 1', '0x10', '9999999999', 'soon']) {
    expect(
      codeOf(() => parseRequestTimeout(header)),
      header,
    ).toBe('INVALID_REQUEST')
  }
})

test('A request id is short and consists of safe characters', () => {
  for (const id of ['a', 'req-1', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', 'a'.repeat(128)])
    expect(isRequestId(id), id).toBe(true)
  for (const id of ['', 'a b', 'a\nb', 'a"b', '<b>', 'a'.repeat(129), undefined, ['a']])
    expect(isRequestId(id)).toBe(false)
})
