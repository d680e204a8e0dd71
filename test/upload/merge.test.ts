import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { refuse } from '../../src/core/errors.ts'
import type { WriterConnection } from '../../src/upload/build.ts'
import { mergeAdapter } from '../../src/upload/merge.ts'
import { removeTables, type Service, startService } from '../helpers/service.ts'
import { lookUp, putAdapter } from '../http/routes/adapters.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
})
beforeEach(async () => {
  await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[1], [2]] } })
  await attach(10)
})
afterEach(() => removeTables(service))
afterAll(() => service.close())

const attach = (value: number) =>
  putAdapter(
    service,
    { a: { shape: [2, 1], values: [1, 1] }, b: { shape: [1, 1], values: [value] } },
    '?alpha=1',
  )

/**
 * A merge during which, before the writer is asked `when`, another adapter is attached, or the adapter is
 * deleted.
 */
const mergeOvertaken = async (when: 'beginBuild' | 'commitBuild', overtake: () => Promise<unknown>) => {
  const { writer, registry, lookups } = service.context
  let overtaken: Promise<unknown> | undefined
  const connection: WriterConnection = {
    call: async (procedure, argument) => {
      if (procedure === when) {
        overtaken = overtake()
        // The writer gets the call now, but finishes it only after the merge, which pins the adapter.
        for (let turn = 0; turn < 20; turn++) await writer.call('sync', null)
      }
      return writer.call(procedure, argument)
    },
  }
  await expect(
    mergeAdapter(connection, lookups.arena, registry.find('t'), { precondition: {} }),
  ).rejects.toMatchObject({
    code: 'PRECONDITION_FAILED',
  })
  await overtaken
}

test.each(['beginBuild', 'commitBuild'] as const)(
  'A merge that another adapter overtakes before its %s is refused, and the other one stays',
  async (when) => {
    const reservedBytes = service.writer.memory.reservedBytes
    await mergeOvertaken(when, () => attach(20))
    expect(Array.from(await lookUp(service, [0, 1]))).toEqual([21, 22])
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
    const { writer, registry, lookups } = service.context
    await mergeAdapter(writer, lookups.arena, registry.find('t'), { precondition: {} })
    expect(Array.from(await lookUp(service, [0, 1]))).toEqual([21, 22])
    expect(registry.find('t').adapters.has(2)).toBe(false)
  },
)

test('A merge that nobody waits for any more ends, and changes nothing', async () => {
  const { writer, registry, lookups } = service.context
  const reservedBytes = service.writer.memory.reservedBytes
  const checkWanted = (): never => refuse('DEADLINE_EXCEEDED', 'the client has gone')
  await expect(
    mergeAdapter(writer, lookups.arena, registry.find('t'), { precondition: {}, checkWanted }),
  ).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  expect(registry.find('t').current.handle.version).toBe(1)
  expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
})

test.each(['beginBuild', 'commitBuild'] as const)(
  'A merge whose adapter is deleted before its %s is refused',
  async (when) => {
    await mergeOvertaken(when, async () => service.app.inject({ method: 'DELETE', url: '/v1/tables/t/lora' }))
    expect(Array.from(await lookUp(service, [0, 1]))).toEqual([1, 2])
    const update = await service.app.inject({
      method: 'POST',
      url: '/v1/tables/t/rows',
      payload: { op: 'set', indices: [0], values: [[5]] },
    })
    expect(update.json()).toMatchObject({ version: 1, sequence: 3 })
  },
)

test('A merge that stops between two tasks unpins its adapter, so that the removal can finish', async () => {
  await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { rows: 70_000, dim: 64 } })
  await putAdapter(
    service,
    {
      a: { shape: [70_000, 1], values: new Float32Array(70_000) },
      b: { shape: [1, 64], values: new Float32Array(64) },
    },
    '?alpha=1',
  )
  const { writer, registry, lookups } = service.context
  const factors = registry.find('t').adapters.get(2)?.factors
  const calls: string[] = []
  const connection: WriterConnection = {
    call: (procedure, argument) => {
      calls.push(procedure)
      return writer.call(procedure, argument)
    },
  }
  const merged = mergeAdapter(connection, lookups.arena, registry.find('t'), { precondition: {} })
  // Retired as a publication does it, in the middle of the work.
  const dropped = writer.call('dropAdapter', { name: 't', precondition: {} })
  await expect(merged).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
  await dropped
  expect(factors?.isRetired).toBe(false)
  expect(calls).not.toContain('commitBuild')
})
