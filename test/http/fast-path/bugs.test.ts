import { afterAll, beforeAll, expect, test } from 'vitest'
import { AssertionFailure } from '../../../src/core/assert.ts'
import { startService, type Service } from '../../helpers/service.ts'
import { putTable } from '../../helpers/writer.ts'
import { MemorySocket } from './socket.ts'
import { answersOf, request, settle, updateRequest } from './fast-path-service.ts'

let service: Service
beforeAll(async () => {
  service = await startService({ logLevel: 'info', fastPath: true })
  for (const name of ['t', 'moved'])
    await putTable(service.context.writer, { name, rows: 4, dim: 1, values: [0, 1, 2, 3] })
})
afterAll(() => service.close())

const ask = async (bytes: Buffer): Promise<number> => {
  const socket = new MemorySocket(service.app)
  socket.push(bytes)
  await settle()
  const [{ status }] = answersOf(socket.sent)
  socket.destroy()
  return status
}

/** Lines that the fast path has logged since the last call. */
const takeLines = () => service.log.splice(0).filter(({ msg }) => /fast path/.test(String(msg)))

const UPDATE = '{"op":"set","indices":[0],"values":[[1]]}'

test.each([
  ['a lookup', 'get', request([1])],
  ['an update', 'getTable', updateRequest(UPDATE)],
] as const)(
  'A bug in the fast path is logged, and Fastify answers the request: %s',
  async (_, name, bytes) => {
    const { registry } = service.context
    const find = registry[name]
    let count = 0
    // Once, so that Fastify finds the table again.
    registry[name] = (table) => {
      if (count++ === 0) throw new AssertionFailure('the table has a name')
      return find.call(registry, table)
    }
    try {
      expect(await ask(bytes)).toBe(200)
      expect(takeLines()).toMatchObject([
        { level: 50, err: { type: 'AssertionFailure', message: 'the table has a name' } },
      ])
    } finally {
      registry[name] = find
    }
  },
)

test('A bug while memory for a body is reserved is logged too', async () => {
  const { updateBodies } = service.context.lookups
  const reserve = updateBodies.reserve
  let count = 0
  updateBodies.reserve = (byteCount) => {
    if (count++ === 0) throw new AssertionFailure('sizes are whole numbers')
    return reserve.call(updateBodies, byteCount)
  }
  try {
    expect(await ask(updateRequest(UPDATE))).toBe(200)
    expect(takeLines()).toMatchObject([{ level: 50, err: { message: 'sizes are whole numbers' } }])
  } finally {
    updateBodies.reserve = reserve
  }
})

test('A refusal is not logged: the client gets it from Fastify', async () => {
  expect(await ask(request([9]))).toBe(422)
  expect(takeLines()).toEqual([])
})
