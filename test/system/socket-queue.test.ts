import { connect, createServer, type Socket } from 'node:net'
import process from 'node:process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { countDelivered } from '../../src/system/socket-queue.ts'

const BYTES = 32 * 1024 * 1024
/** So little that the system does not tell of it. */
const LITTLE_BYTES = 512 * 1024

describe('The count of delivered bytes', () => {
  let socket: Socket
  let client: Socket
  let close: () => void
  beforeEach(async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
    client = connect(typeof address === 'object' ? (address?.port ?? 0) : 0, '127.0.0.1').pause()
    socket = await accepted
    socket.on('error', () => {})
    socket.write(Buffer.alloc(BYTES))
    close = () => {
      client.destroy()
      server.close()
    }
  })
  afterEach(() => close())

  const settled = async (): Promise<number> => {
    for (let before = -1, now = countDelivered(socket); ; before = now, now = countDelivered(socket)) {
      if (before === now) return now
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  test('moves when the peer reads, and stands still when it does not', async () => {
    const stopped = await settled()
    expect(stopped).toBeGreaterThan(0)
    expect(stopped).toBeLessThan(BYTES)
    client.resume()
    await expect.poll(() => countDelivered(socket), { timeout: 20_000 }).toBe(BYTES)
  })

  test.skipIf(process.platform !== 'linux')('moves by the little that a slow peer takes', async () => {
    const stopped = await settled()
    for (let takenBytes = 0; takenBytes < LITTLE_BYTES; ) {
      const bytes = client.read() as Buffer | null
      takenBytes += bytes?.length ?? 0
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await expect.poll(() => countDelivered(socket)).toBeGreaterThan(stopped)
  })
})
