import { expect, test } from 'vitest'
import { findNearestWord, suggestWord } from '../../src/core/nearest-word.ts'

const WORDS = ['indices', 'pooling', 'offsets', 'dtype']

test('The nearest word is found across letters that are missing, wrong, doubled or swapped', () => {
  for (const word of ['indeces', 'indicies', 'indixces', 'idnices', 'INDICES', 'indice'])
    expect(findNearestWord(word, WORDS), word).toBe('indices')
  expect(findNearestWord('pool', ['pooling', 'poll'])).toBe('poll')
  expect(findNearestWord('pool', WORDS)).toBe('pooling')
})

test('A word that is like none of them has no nearest one', () => {
  for (const word of ['embedding', 'x'.repeat(1_000), '--constructor'])
    expect(findNearestWord(word, WORDS), word).toBeUndefined()
  expect(findNearestWord('a', [])).toBeUndefined()
  expect(suggestWord('offset', WORDS)).toBe('; did you mean offsets?')
  expect(suggestWord('frobnicate', WORDS)).toBe('')
})
