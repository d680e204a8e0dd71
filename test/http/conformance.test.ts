import { afterAll, beforeAll, describe, test } from 'vitest'
import { type Service, startService } from '../helpers/service.ts'
import { expectConformance, prepareTable, removeLeftovers } from './conformance.ts'
import type { Validators } from './conformance-requests.ts'
import { CONFORMANCE } from './conformance-rows.ts'

describe.each([
  ['the fast path', true],
  ['Fastify alone', false],
])('A connection of %s', (_path, fastPath) => {
  let service: Service
  let url: string
  let tags: Validators
  beforeAll(async () => {
    service = await startService({ fastPath, logLevel: 'silent' })
    url = await service.listen()
    tags = await prepareTable(url)
  })
  afterAll(() => service.close())

  describe.each(Object.entries(CONFORMANCE))('that tries %s', (_group, rows) => {
    afterAll(() => removeLeftovers(url))
    test.each(rows.map((row) => [row.about, row.section, row] as const))(
      'is answered by the book: %s (RFC %s)',
      (_about, _section, row) => expectConformance(Number(new URL(url).port), row, tags),
    )
  })
})
