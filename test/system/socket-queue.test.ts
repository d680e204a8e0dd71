import { connect, createServer, type Socket } from 'node:net'
import { expect, test } from 'vitest'
import { countDelivered } from '../../src/system/socket-queue.ts'

test('The count of delivered bytes moves when the peer reads, and stands still when it does not', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const client = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1').pause()
  const socket = await accepted
  socket.write(Buffer.alloc(32 * 1024 * 1024))
  const settled = async (): Promise<number> => {
    for (let before = -1, now = countDelivered(socket); ; before = now, now = countDelivered(socket)) {
      if (before === now) return now
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  const stopped = await settled()
  expect(stopped).toBeGreaterThan(0)
  expect(stopped).toBeLessThan(32 * 1024 * 1024)
  client.resume()
  await expect.poll(() => countDelivered(socket), { timeout: 20_000 }).toBe(32 * 1024 * 1024)
  client.destroy()
  server.close()
})
