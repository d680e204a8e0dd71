import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import { type Service, startService } from '../../helpers/service.ts'

let service: Service
beforeAll(async () => {
  service = await startService()
  await service.app.inject({ method: 'PUT', url: '/v1/tables/t', payload: { values: [[1, 2]] } })
})
afterAll(() => service.close())

test.each([
  ['POST', '/v1/tables/t/lookup', { ids: [0] }, 'indices'],
  ['POST', '/v1/tables/t/lookup', { indices: [0], pool: 'sum' }, 'pooling'],
  ['POST', '/v1/tables/t/lookup', { indices: [0], fillValue: 1 }, 'fill_value'],
  ['POST', '/v1/tables/t/attend', { queries: [1, 2], score: 'dot' }, 'metric'],
  ['POST', '/v1/tables/t/attend', { query: [1, 2] }, 'queries'],
  ['POST', '/v1/tables/t/gradients', { ids: [0], gradients: [[1, 2]] }, 'indices'],
  ['POST', '/v1/tables/t/gradients', { indices: [0], gradients: [[1, 2]], lr: 1 }, 'learning_rate'],
  ['POST', '/v1/tables/t/rows', { op: 'set', indices: [0], vals: [[1, 2]] }, 'values'],
  ['POST', '/v1/lookup', { lookups: [{ table: 't', ids: [0] }] }, 'indices'],
  ['PUT', '/v1/tables/u', { data: [[1]] }, 'values'],
  ['PATCH', '/v1/tables/t', { durabilty: 'os' }, 'durability'],
  ['PATCH', '/v1/tables/t', { optimizer: { kind: 'adam', lr: 1 } }, 'learning_rate'],
  ['POST', '/v1/tables/t/uploads', { content_typ: 'application/x-npy' }, 'content_type'],
] as const)('%s %s with %j: did you mean %s', async (method, url, payload, meant) => {
  const answer = await service.app.inject({ method, url, payload })
  expect(answer.json()).toMatchObject({ status: 400, code: 'INVALID_REQUEST' })
  expect(answer.json<{ detail: string }>().detail).toContain(`did you mean ${meant}? Known are `)
})

test.each([
  ['/v1/tables/t/lookup?pool=sum', 'pooling'],
  ['/v1/tables/t/lookup?indexdtype=int64', 'index_dtype'],
])('POST %s: did you mean %s', async (url, meant) => {
  const headers = { 'content-type': 'application/octet-stream' }
  const answer = await service.app.inject({ method: 'POST', url, payload: Buffer.alloc(4), headers })
  expect(answer.json<{ detail: string }>().detail).toContain(`did you mean ${meant}? Known are mode`)
})

test('A list of lookups and a tensor of another name are recognised too', async () => {
  const list = await service.app.inject({ method: 'POST', url: '/v1/lookup', payload: { lookup: [] } })
  expect(list.json<{ detail: string }>().detail).toContain('the body has "lookup" instead')
  const { header } = writeSafetensorsHeader([{ name: 'ids', elementType: 'int32', shape: [1] }])
  const payload = Buffer.concat([header, Buffer.alloc(4)])
  const headers = { 'content-type': 'application/x-safetensors' }
  const tensor = await service.app.inject({ method: 'POST', url: '/v1/tables/t/lookup', payload, headers })
  expect(tensor.json<{ detail: string }>().detail).toContain('did you mean indices?')
  const query = writeSafetensorsHeader([{ name: 'query', elementType: 'float32', shape: [1] }])
  const vector = Buffer.concat([query.header, Buffer.alloc(4)])
  const attend = { method: 'POST', url: '/v1/tables/t/attend', payload: vector, headers } as const
  const answer = await service.app.inject(attend)
  expect(answer.json<{ detail: string }>().detail).toContain('did you mean queries?')
})
