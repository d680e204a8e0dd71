import { describe, expect, test } from 'vitest'
import { checkPrecondition } from '../../src/tables/precondition.ts'

const now = { name: 'user', version: 3, sequence: 17, revision: 2 }
const holds = (precondition: Parameters<typeof checkPrecondition>[0], current: typeof now | undefined) => {
  try {
    checkPrecondition(precondition, current)
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'PRECONDITION_FAILED', status: 412 })
    return false
  }
}

describe('If-Match', () => {
  test.each([
    [['3-17'], now, true],
    [['3'], now, true],
    [['*'], now, true],
    [['9-9', '3-17'], now, true],
    [['3-16'], now, false],
    [['2'], now, false],
    [['17'], now, false],
    [[], now, false],
    [['*'], undefined, false],
    [['3-17'], undefined, false],
  ] as const)('%j against %j: %s', (ifMatch, current, expected) =>
    expect(holds({ ifMatch: [...ifMatch] }, current)).toBe(expected),
  )
})

describe('If-None-Match', () => {
  test.each([
    [['*'], undefined, true],
    [['*'], now, false],
    [['3-17'], now, false],
    [['3-16'], now, true],
    [['3'], now, true],
  ] as const)('%j against %j: %s', (ifNoneMatch, current, expected) =>
    expect(holds({ ifNoneMatch: [...ifNoneMatch] }, current)).toBe(expected),
  )
})

test('A request without a condition always passes', () => {
  expect(holds({}, undefined)).toBe(true)
  expect(holds({}, now)).toBe(true)
})
