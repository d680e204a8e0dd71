import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { TableInfo } from '../../src/core/types.ts'
import { readSafetensorsHeader, writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { type Service, startService } from '../helpers/service.ts'

let service: Service
beforeEach(async () => {
  service = await startService()
})
afterEach(() => service.close())

const put = (value: number, query = '') =>
  service.app.inject({
    method: 'PUT',
    url: `/v1/tables/t?rows=1&dim=1${query}`,
    headers: { 'content-type': 'application/octet-stream' },
    payload: Buffer.from(Float32Array.of(value).buffer),
  })

test('Each of several concurrent uploads is answered with its own version, at sequence 0', async () => {
  await put(0)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => put(i)))
  const versions = answers.map((answer) => answer.json<TableInfo>().version)
  expect(new Set(versions).size).toBe(20)
  for (const answer of answers) {
    const { version, sequence } = answer.json<TableInfo>()
    expect(sequence).toBe(0)
    expect(answer.headers.etag).toBe(`"${version}-0-0"`)
  }
})

test('An export takes the newer version when its own is replaced before it begins', async () => {
  await put(0, '&keep_versions=1')
  const { writer } = service.context
  const call = writer.call.bind(writer)
  // Another HTTP worker could replace the table after the route has found it and before the writer does.
  vi.spyOn(writer, 'call').mockImplementationOnce(async (procedure, argument) => {
    await put(1)
    return call(procedure, argument)
  })
  const answer = await service.app.inject({
    url: '/v1/tables/t/data',
    headers: { accept: 'application/octet-stream' },
  })
  expect(answer.statusCode).toBe(200)
  expect(answer.headers['x-table-version']).toBe('2')
  expect(answer.rawPayload.readFloatLE()).toBe(1)
})

test('A safetensors answer about several tables states the version and sequence of each', async () => {
  await put(7)
  const { header } = writeSafetensorsHeader([{ name: 't/indices', elementType: 'int32', shape: [1] }])
  const types = { 'content-type': 'application/x-safetensors', accept: 'application/x-safetensors' }
  const payload = Buffer.concat([header, Buffer.alloc(4)])
  const answer = await service.app.inject({ method: 'POST', url: '/v1/lookup', headers: types, payload })
  const { metadata } = readSafetensorsHeader(
    answer.rawPayload.subarray(0, answer.rawPayload.length - 4),
    null,
  )
  expect(Object.fromEntries(metadata)).toEqual({ 't/version': '1', 't/sequence': '0' })
})
