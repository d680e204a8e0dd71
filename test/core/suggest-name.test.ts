import { expect, test } from 'vitest'
import { findNearName, suggestName, suggestPrefixed } from '../../src/core/suggest-name.ts'

const LOOKUP = ['indices', 'offsets', 'weights', 'mode', 'fill_value', 'pooling', 'padding_index', 'dtype']

test.each([
  ['ids', 'indices'],
  ['indexes', 'indices'],
  ['indice', 'indices'],
  ['Indices', 'indices'],
  ['pool', 'pooling'],
  ['poling', 'pooling'],
  ['fillValue', 'fill_value'],
  ['padding-index', 'padding_index'],
  ['paddign_index', 'padding_index'],
  ['padding_idx', 'padding_index'],
])('%s was meant as %s', (name, meant) => {
  expect(findNearName(name, LOOKUP)).toBe(meant)
})

test.each(['xyz', '', '__proto__', 'constructor', 'a'.repeat(100_000)])(
  '%.20j is near to no name',
  (name) => {
    expect(findNearName(name, LOOKUP)).toBe(undefined)
  },
)

test('A suggestion continues a message, and quotes a name that is no plain word', () => {
  expect(suggestName('score', ['queries', 'top_k', 'metric'])).toBe('; did you mean metric?')
  expect(suggestName('embedding weigth', ['embedding weight'])).toBe('; did you mean "embedding weight"?')
  expect(suggestName('xyz', LOOKUP)).toBe('')
})

test('A prefix that all names share makes none of them nearer', () => {
  const settings = ['GATHERD_PORT', 'GATHERD_HOST', 'GATHERD_HTTP_THREADS']
  expect(suggestPrefixed('GATHERD_', 'GATHERD_PROT', settings)).toBe('; did you mean GATHERD_PORT?')
  expect(suggestPrefixed('GATHERD_', 'GATHERD_FROB', settings)).toBe('')
  expect(suggestPrefixed('--', '--http-treads', ['--port', '--http-threads'])).toBe(
    '; did you mean --http-threads?',
  )
  expect(suggestPrefixed('--', '-p', ['--port'])).toBe('')
})
