import { afterEach, beforeEach, expect, test } from 'vitest'
import type { KeeperLine } from '../../src/upload/build.ts'
import { mergeAdapter } from '../../src/upload/merge.ts'
import { type Service, startService } from '../helpers/service.ts'
import { lookUp, putAdapter } from '../http/adapters.ts'

let service: Service
beforeEach(async () => {
  service = await startService()
  await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[1], [2]] } })
  await attach(10)
})
afterEach(() => service.close())

const attach = (value: number) => putAdapter(service, { a: { shape: [2, 1], values: [1, 1] }, b: { shape: [1, 1], values: [value] } }, '?alpha=1')

test('A merge that is overtaken by another adapter is refused, and the other one stays', async () => {
  const { keeper, registry, lookups } = service.context
  const reservedBytes = service.keeper.memory.reservedBytes
  const overtaken: KeeperLine = {
    call: async (procedure, argument) => {
      if (procedure === 'commit') await attach(20)
      return keeper.call(procedure, argument)
    },
  }
  await expect(mergeAdapter(overtaken, lookups.arena, registry.find('t'), {})).rejects.toMatchObject({ code: 'PRECONDITION_FAILED' })
  expect(Array.from(await lookUp(service, [0, 1]))).toEqual([21, 22])
  expect(service.keeper.memory.reservedBytes).toBe(reservedBytes)
  await mergeAdapter(keeper, lookups.arena, registry.find('t'), {})
  expect(Array.from(await lookUp(service, [0, 1]))).toEqual([21, 22])
  expect(registry.find('t').adapters.has(2)).toBe(false)
})
