import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BuildOrder } from '../../../src/writer/lifecycle/build-order.ts'
import { type Service, startService } from '../../helpers/service.ts'

describe('The order of builds', () => {
  test('lets a build through unless a later request has changed the same table', () => {
    const order = new BuildOrder()
    for (const number of [1, 2, 5]) order.begin(number)
    order.note('a', 2)
    expect(() => order.check('a', 1)).toThrow('send this one again')
    order.check('b', 1)
    order.check('a', 5)
    order.note('a', 1)
    expect(() => order.check('a', 1)).toThrow('send this one again')
  })

  test('is forgotten when no build is open', () => {
    const order = new BuildOrder()
    order.begin(1)
    order.note('a', 2)
    order.endAll([1, 1])
    order.note('a', 3)
    order.check('a', 1)
  })
})

describe('A build that takes long', () => {
  let service: Service
  beforeAll(async () => {
    service = await startService()
  })
  afterAll(() => service.close())

  const begin = async (name: string) => {
    const { writer } = service.context
    const facts = { name, rows: 1, dim: 1, dtype: 'float32' as const, settings: {}, precondition: {} }
    const { buildId } = await writer.call('beginBuild', facts)
    return () => writer.call('commitBuild', { buildId })
  }
  const put = async (name: string): Promise<number> => {
    const answer = await service.app.inject({
      method: 'PUT',
      url: `/v1/tables/${name}`,
      payload: { values: [[42]] },
    })
    return answer.statusCode
  }
  const LATE = { code: 'PRECONDITION_FAILED' }

  test('does not replace the table of a request that was accepted after it', async () => {
    const reservedBytes = service.writer.memory.reservedBytes
    const commit = await begin('put')
    expect(await put('put')).toBe(201)
    await expect(commit()).rejects.toMatchObject(LATE)
    expect(service.context.registry.find('put').current.handle.version).toBe(1)
    await service.app.inject({ method: 'DELETE', url: '/v1/tables/put' })
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  })

  test('does not bring a table back that was deleted after it, nor undo a rollback', async () => {
    await put('gone')
    const commit = await begin('gone')
    expect((await service.app.inject({ method: 'DELETE', url: '/v1/tables/gone' })).statusCode).toBe(204)
    await expect(commit()).rejects.toMatchObject(LATE)
    expect(service.context.registry.get('gone')).toBeUndefined()
    await put('back')
    await put('back')
    const late = await begin('back')
    const url = '/v1/tables/back/rollback'
    expect((await service.app.inject({ method: 'POST', url, payload: { version: 1 } })).statusCode).toBe(200)
    await expect(late()).rejects.toMatchObject(LATE)
  })

  test('replaces what was made before it, whenever that ends', async () => {
    const [first, second] = [await begin('both'), await begin('both')]
    expect(await first()).toMatchObject({ created: true, version: 1 })
    expect(await second()).toMatchObject({ created: false, version: 2 })
  })
})
