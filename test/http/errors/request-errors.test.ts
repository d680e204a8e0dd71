import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ERRORS, type ErrorCode } from '../../../src/core/errors.ts'
import type { Problem } from '../../../src/http/errors/problem.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { sendWrong, TABLE, WRONG } from './wrong-requests.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ quotaBytes: 32 * 1024 * 1024 })
  await service.app.inject({
    method: 'PUT',
    url: TABLE,
    payload: {
      values: [
        [1, 2],
        [3, 4],
      ],
    },
  })
  await service.app.inject({
    method: 'PUT',
    url: '/v1/tables/b',
    payload: { values: [[1, 2]], dtype: 'bfloat16' },
  })
})
afterAll(() => service.close())

describe('A request is refused and changes nothing', () => {
  test.each(Object.entries(WRONG))('for %s', async (_name, wrong) => {
    const before = (await service.app.inject({ url: TABLE })).body
    const reservedBytes = service.writer.memory.reservedBytes
    const response = await sendWrong(service.app, wrong)
    const problem = response.json<Problem>()
    expect(problem).toMatchObject({
      code: wrong.code,
      status: ERRORS[wrong.code].status,
      type: `/docs/errors#${wrong.code}`,
      title: ERRORS[wrong.code].title,
    })
    expect(response.statusCode).toBe(problem.status)
    expect(response.headers['content-type']).toBe('application/problem+json')
    expect(response.headers['x-request-id']).toBe(problem.instance)
    expect(response.headers.etag).toBeUndefined()
    if (wrong.pointer !== undefined) expect(problem.errors?.[0].pointer).toBe(wrong.pointer)
    if (wrong.detail !== undefined) expect(problem.detail).toMatch(wrong.detail)
    expect((await service.app.inject({ url: TABLE })).body).toBe(before)
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })
})

test('Every error code that a request alone can cause has a wrong request in these files', () => {
  const LATER: ErrorCode[] = [
    'UNAUTHENTICATED',
    'FORBIDDEN',
    'ALIAS_NOT_FOUND',
    'IDEMPOTENCY_IN_FLIGHT',
    'IDEMPOTENCY_MISMATCH',
    'RATE_LIMITED',
    'DISK_FULL',
  ]
  // test/http/conformance-heads.ts has these, which no injected request causes.
  const onTheWire: ErrorCode[] = ['CODING_NOT_SUPPORTED', 'VERSION_NOT_SUPPORTED']
  const states: ErrorCode[] = ['NOT_READY', 'SHUTTING_DOWN', 'OVERLOADED', 'INTERNAL']
  const covered = new Set([
    ...Object.values(WRONG).map(({ code }) => code),
    ...states,
    ...LATER,
    ...onTheWire,
  ])
  expect(Object.keys(ERRORS).filter((code) => !covered.has(code as ErrorCode))).toEqual([])
})
