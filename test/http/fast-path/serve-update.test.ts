import { afterAll, beforeAll, expect, test } from 'vitest'
import { startService, type Service } from '../../helpers/service.ts'
import { putTable, readTable } from '../../helpers/writer.ts'
import { answersOf, updateRequest } from './fast-path-service.ts'
import { MemorySocket } from './socket.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ logLevel: 'silent', fastPath: true })
})
afterAll(() => service.close())

test.each([
  ['gradients', '{"indices":[0],"gradients":[[1]]}'],
  ['rows', '{"op":"set","indices":[0],"values":[[9]]}'],
])('refuses an update of an alias and changes no version: %s', async (route, body) => {
  const { writer } = service.context
  for (const value of [1, 2])
    await putTable(writer, { name: `behind-${route}`, rows: 1, dim: 1, values: [value] })
  await writer.call('putAlias', { alias: 'moved', table: `behind-${route}`, version: 1, key: undefined })
  const socket = new MemorySocket(service.app)
  socket.push(updateRequest(body, { route }))
  await expect.poll(() => answersOf(socket.sent).length).toBe(1)
  const [{ status, json }] = answersOf(socket.sent)
  socket.destroy()
  expect({ status, json }).toMatchObject({ status: 404, json: { code: 'TABLE_NOT_FOUND' } })
  expect(readTable(writer, `behind-${route}`)).toEqual([[2]])
})
