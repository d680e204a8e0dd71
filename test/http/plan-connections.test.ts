import { expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { planConnections } from '../../src/http/plan-connections.ts'

test('Connections leave descriptors for the store, whatever the limit and the number of threads', () => {
  for (const limit of [256, 1_024, 20_000]) {
    for (const http of [1, 2, 8]) {
      const each = planConnections(limit, { http, compute: http })
      expect(each).toBeGreaterThan(0)
      if (each > 1) expect(limit - each * http).toBeGreaterThan(64 + 16 * 2 * http)
    }
  }
  expect(planConnections(1_024, { http: 2, compute: 2 })).toBe(336)
  expect(planConnections(64, { http: 2, compute: 2 })).toBe(1)
  expect(planConnections(Infinity, { http: 1, compute: 0 })).toBe(LIMITS.connectionCountMax)
})
