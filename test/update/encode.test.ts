import { expect, test } from 'vitest'
import { answerUpdate } from '../../src/update/encode.ts'

test('The answer to an update has the names of the contract', () => {
  const result = { version: 2, sequence: 7, rowsUpdated: 3, durability: 'os' as const, replayed: true }
  expect(JSON.stringify(answerUpdate('user', result))).toBe(
    '{"table":"user","version":2,"sequence":7,"rows_updated":3,"durability":"os","replayed":true}',
  )
})
