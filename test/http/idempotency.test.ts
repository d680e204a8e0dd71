import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { parseIdempotencyKey } from '../../src/http/conditions.ts'
import { bindKey } from '../../src/update/run.ts'

const codeOf = (work: () => unknown) => {
  try {
    return work()
  } catch (error) {
    return error instanceof GatherdError ? error.code : error
  }
}

describe('An Idempotency-Key', () => {
  test.each([
    [undefined, undefined],
    ['a', 'a'],
    ['"a"', 'a'],
    ['8e03978e-40d5-43dd-bc93-6894a57f9324', '8e03978e-40d5-43dd-bc93-6894a57f9324'],
    ['~!{}', '~!{}'],
    [String.raw`"a\"b\\c"`, String.raw`a"b\c`],
    [String.raw`a"b\c`, String.raw`a"b\c`],
    ['k'.repeat(128), 'k'.repeat(128)],
    [`"${'k'.repeat(128)}"`, 'k'.repeat(128)],
  ])('sent as %s is read as %s', (header, key) => {
    expect(parseIdempotencyKey(header)).toBe(key)
  })

  test.each([
    ['nothing', ''],
    ['nothing in quotes', '""'],
    ['a quote that is not closed', '"a'],
    ['a quote alone', '"'],
    ['something behind the quotes', '"a";b=1'],
    ['a quote inside the quotes', '"a"b"'],
    ['a backslash before anything else', String.raw`"a\b"`],
    ['a backslash at the end', String.raw`"a\"`],
    ['a space', 'a b'],
    ['a space in quotes', '"a b"'],
    ['a character beyond ASCII', 'ü'],
    ['a control character', 'a\u007f'],
    ['129 characters', 'k'.repeat(129)],
    ['129 characters in quotes', `"${'k'.repeat(129)}"`],
    ['two headers, as Node joins them', 'a, b'],
    ['two headers in quotes, as Node joins them', '"a", "a"'],
    ['two halves', '"a, b"'],
  ])('is refused: %s', (_what, header) => {
    expect(codeOf(() => parseIdempotencyKey(header))).toBe('INVALID_REQUEST')
  })

  test('is refused as a list', () => {
    expect(codeOf(() => parseIdempotencyKey(['a']))).toBe('INVALID_REQUEST')
  })
})

test('The hash of a request depends on everything that it asks for', () => {
  const body = Buffer.from('{}')
  const hex = (meaning: (string | number | undefined)[], bytes: Uint8Array = body) =>
    Buffer.from(bindKey('k', meaning, bytes).request).toString('hex')
  const requests = [
    hex(['json', 'gradients', undefined]),
    hex(['json', 'gradients', 0.1]),
    hex(['safetensors', 'gradients', 0.1]),
    hex(['json', 'set', undefined]),
    hex(['json', 'add', undefined]),
    hex(['json', 'set', undefined], Buffer.from('{ }')),
  ]
  expect(new Set(requests).size).toBe(requests.length)
  expect(hex(['json', 'set', undefined])).toBe(requests[3])
  expect(requests[0]).toHaveLength(64)
})
