import { describe, expect, test } from 'vitest'
import { accept, expectToken, failAt, peek, quoteText, readWhole } from '../../src/formats/scanner.ts'
import type { Cursor } from '../../src/formats/scanner.ts'
import { codeOf, refusalOf } from './refusal.ts'

const cursorOf = (text: string): Cursor => ({ text, at: 0, what: 'the text' })

test('peek skips white space only, and is empty at the end', () => {
  const cursor = cursorOf(' \t\r\n{ ')
  expect(peek(cursor)).toBe('{')
  expect(cursor.at).toBe(4)
  expect(peek({ ...cursor, at: 5 })).toBe('')
  expect(peek(cursorOf('\u00a0{'))).toBe('\u00a0')
})

test('accept skips white space and the token, or does not move', () => {
  const cursor = cursorOf('  True,')
  expect(accept(cursor, 'False')).toBe(false)
  expect(accept(cursor, 'True')).toBe(true)
  expect(cursor.at).toBe(6)
  expect(accept(cursorOf(''), '{')).toBe(false)
})

test('A refusal states what was expected, what was found, and where', () => {
  const behind = cursorOf('ab')
  behind.at = 1
  expect(refusalOf(() => failAt(behind, 'a digit'))).toEqual({
    code: 'MALFORMED_BODY',
    detail: 'the text: expected a digit at character 1, found "b"',
  })
  expect(refusalOf(() => expectToken(cursorOf(' '), '{')).detail).toBe(
    'the text: expected "{" at character 1, found its end',
  )
})

describe('readWhole', () => {
  test.each([
    ['0', 0],
    ['7,', 7],
    [' 42 ', 42],
    ['9007199254740991', 2 ** 53 - 1],
  ])('reads %j', (text, value) => {
    expect(readWhole(cursorOf(text))).toBe(value)
  })

  test.each(['', '-1', '+1', '01', '00', 'x', '.5', '٣'])('refuses %j', (text) => {
    expect(codeOf(() => readWhole(cursorOf(text)))).toBe('MALFORMED_BODY')
  })

  test('stops before a fraction or an exponent, which no caller allows', () => {
    for (const text of ['3.0', '3e2', '3L', '3_0']) {
      const cursor = cursorOf(text)
      expect(readWhole(cursor)).toBe(3)
      expect(cursor.at).toBe(1)
    }
  })

  test('returns no safe integer above 2^53 for any number of digits', () => {
    expect(Number.isSafeInteger(readWhole(cursorOf('9007199254740993')))).toBe(false)
    expect(Number.isSafeInteger(readWhole(cursorOf('9'.repeat(100_000))))).toBe(false)
  })
})

test('quoteText escapes and cuts', () => {
  expect(quoteText('a"\n\ud800')).toBe('"a\\"\\n\\ud800"')
  expect(quoteText('x'.repeat(65))).toBe(`"${'x'.repeat(64)}..."`)
  expect(quoteText('x'.repeat(64))).toBe(`"${'x'.repeat(64)}"`)
})
