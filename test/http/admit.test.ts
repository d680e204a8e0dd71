import { describe, expect, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { ERRORS } from '../../src/core/errors.ts'
import { LIMITS } from '../../src/core/limits.ts'
import {
  admit,
  type HeadFacts,
  isLastOfConnection,
  REFUSALS,
  type ServiceFacts,
} from '../../src/http/admit.ts'
import type { Health } from '../../src/http/context.ts'

const HEAD: HeadFacts = { urlBytes: 20, headerCount: 4, flaw: null, needsTables: true }
const STATES: Health['state'][] = ['loading', 'ready', 'degraded', 'draining', 'stopping']

/** A service in this state. */
const serviceIn = (state: Health['state']): ServiceFacts => ({
  health: { state, reason: state },
  settings: readConfig({}),
})

describe('A request', () => {
  test('is admitted once tables are loaded, whatever else the service is', () => {
    expect(STATES.map((state) => admit(HEAD, serviceIn(state)))).toEqual([
      'tablesLoading',
      null,
      null,
      null,
      'stopping',
    ])
  })

  test('that needs no tables is admitted in every state', () => {
    for (const state of STATES) expect(admit({ ...HEAD, needsTables: false }, serviceIn(state))).toBe(null)
  })

  test.each<[keyof typeof REFUSALS, Partial<HeadFacts>, Partial<HeadFacts>]>([
    ['headersTooMany', { headerCount: LIMITS.headerCountMax + 1 }, { headerCount: LIMITS.headerCountMax }],
    ['urlTooLong', { urlBytes: LIMITS.urlBytesMax + 1 }, { urlBytes: LIMITS.urlBytesMax }],
    ['hostMissing', { flaw: 'hostMissing' }, { flaw: null }],
    ['codingUnknown', { flaw: 'codingUnknown' }, { flaw: null }],
  ])('is refused in every state: %s', (refusal, wrong, right) => {
    for (const state of STATES) expect(admit({ ...HEAD, ...wrong }, serviceIn(state))).toBe(refusal)
    expect(admit({ ...HEAD, ...right }, serviceIn('ready'))).toBe(null)
  })

  test('is the last of its connection while the service drains or stops', () => {
    expect(STATES.map((state) => isLastOfConnection(serviceIn(state)))).toEqual([
      false,
      false,
      false,
      true,
      true,
    ])
  })

  test('is refused by a code of the table of errors', () => {
    for (const { code } of Object.values(REFUSALS)) expect(ERRORS).toHaveProperty(code)
  })
})
