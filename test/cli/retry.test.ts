import { describe, expect, test } from 'vitest'
import { CallError } from '../../src/cli/errors.ts'
import { callRepeatedly } from '../../src/cli/retry.ts'

const run = async (errors: unknown[], isRepeatable: boolean) => {
  const waits: number[] = []
  const told: string[] = []
  let calls = 0
  const attempt = async () => {
    const error = errors[calls++]
    if (error !== undefined) throw error
    return 'done'
  }
  const options = {
    tell: (line: string) => void told.push(line),
    isRepeatable,
    wait: async (ms: number) => void waits.push(ms),
  }
  const outcome = await callRepeatedly(attempt, options).catch((error: unknown) => error)
  return { outcome, calls, waits, told }
}
const broken = new CallError('the connection failed', null, 'ECONNRESET')
const times = <Item>(count: number, item: Item): Item[] => Array.from({ length: count }, () => item)
const absent = new CallError('no service answers', null, 'ECONNREFUSED')
const answered = (status: number, code = 'CODE', waitMs?: number) =>
  new CallError('refused', status, code, { waitMs })

describe('A failed call', () => {
  test('is retried when the service may recover', async () => {
    for (const status of [408, 429, 502, 503, 504])
      expect((await run([answered(status)], false)).outcome).toBe('done')
    expect((await run([absent], false)).outcome).toBe('done')
  })

  test('is not retried when it would be refused again', async () => {
    for (const status of [400, 404, 409, 412, 413, 422, 500, 507]) {
      const error = answered(status)
      expect(await run([error], true)).toMatchObject({ outcome: error, calls: 1 })
    }
    const foreign = Object.assign(new Error('no such file'), { code: 'ENOENT' })
    expect(await run([foreign], true)).toMatchObject({ outcome: foreign, calls: 1 })
  })

  test('is retried after a broken connection only when it is idempotent', async () => {
    expect(await run([broken], true)).toMatchObject({ outcome: 'done', calls: 2 })
    expect(await run([broken], false)).toMatchObject({ outcome: broken, calls: 1 })
  })

  test('is retried after the delay in Retry-After, with a message', async () => {
    const { waits, told } = await run([answered(429, 'RATE_LIMITED', 7_000)], false)
    expect(waits).toEqual([7_000])
    expect(told).toEqual(['refused; trying again in 7.0 s'])
  })

  test('is given up after twelve tries, not counting waits for a commit that is still running', async () => {
    expect((await run(times(12, absent), true)).outcome).toBe(absent)
    expect((await run(times(11, absent), true)).outcome).toBe('done')
    const running = answered(409, 'IDEMPOTENCY_IN_FLIGHT')
    expect(await run(times(40, running), true)).toMatchObject({ outcome: 'done', calls: 41 })
  })
})
