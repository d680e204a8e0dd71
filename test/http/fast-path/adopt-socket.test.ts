import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  type AdoptedSocket,
  adoptSocket,
  type SocketReader,
} from '../../../src/http/fast-path/adopt-socket.ts'

let server: Server
let client: Socket
let accepted: Socket
beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const connection = once(server, 'connection')
  client = connect({ port, host: '127.0.0.1' })
  ;[accepted] = (await connection) as [Socket]
})
afterEach(async () => {
  client.destroy()
  accepted.destroy()
  server.close()
  await once(server, 'close')
})

/** A reader that fills `memory` from its beginning, and the texts that it has read. */
const readInto = (memory: Uint8Array) => {
  let at = 0
  const heard: string[] = []
  const reader: SocketReader = {
    target: () => memory.subarray(at),
    read: (byteCount, into) => {
      heard.push(Buffer.from(into.buffer, into.byteOffset, byteCount).toString())
      at += byteCount
      return true
    },
  }
  return { reader, heard }
}

const adopt = (reader: SocketReader): AdoptedSocket => {
  const adopted = adoptSocket(accepted, reader)
  if (adopted === null) throw new Error('this Node can do it')
  accepted = adopted.socket.resume()
  return adopted
}

describe('An adopted socket', () => {
  test('reads successive pieces into shared memory without a copy', async () => {
    const memory = new Uint8Array(new SharedArrayBuffer(64))
    const { reader, heard } = readInto(memory)
    adopt(reader)
    client.write('first ')
    await expect.poll(() => heard).toEqual(['first '])
    client.write('second')
    await expect.poll(() => heard).toEqual(['first ', 'second'])
    expect(Buffer.from(memory).toString('latin1', 0, 12)).toBe('first second')
  })

  test('reads its next piece into other memory after a redirect', async () => {
    const [before, after] = [Buffer.alloc(16), Buffer.alloc(16)]
    const { reader, heard } = readInto(before)
    const { redirect } = adopt(reader)
    client.write('a')
    await expect.poll(() => heard).toEqual(['a'])
    redirect(after)
    client.write('b')
    await expect.poll(() => heard).toEqual(['a', 'b'])
    client.write('c')
    await expect.poll(() => heard).toEqual(['a', 'b', 'c'])
    expect([before.toString('latin1', 0, 3), after.toString('latin1', 0, 3)]).toEqual(['a\0c', 'b\0\0'])
  })

  test('reports the end of the client, and can still write an answer', async () => {
    const { socket } = adopt(readInto(Buffer.alloc(16)).reader)
    const answer: Buffer[] = []
    client.on('data', (chunk: Buffer) => answer.push(chunk))
    client.end('question')
    await once(socket, 'end')
    socket.end('answer')
    await once(client, 'close')
    expect(Buffer.concat(answer).toString()).toBe('answer')
  })

  test('stops reading while it is paused', async () => {
    const { reader, heard } = readInto(Buffer.alloc(16))
    const { socket } = adopt(reader)
    socket.pause()
    client.write('x')
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(heard).toEqual([])
    socket.resume()
    await expect.poll(() => heard).toEqual(['x'])
  })

  test('is counted as one connection by its server', async () => {
    const countConnections = () =>
      new Promise((resolve) => server.getConnections((_, count) => resolve(count)))
    const { socket } = adopt(readInto(Buffer.alloc(16)).reader)
    expect(await countConnections()).toBe(1)
    socket.destroy()
    await once(socket, 'close')
    expect(await countConnections()).toBe(0)
  })
})

test('A stream that is not an accepted TCP connection is not adopted', () => {
  const stream = new PassThrough()
  const { reader } = readInto(Buffer.alloc(1))
  expect(adoptSocket(stream as unknown as Socket, reader)).toBe(null)
  expect(adoptSocket(client, reader)).toBe(null)
  expect(stream.destroyed || client.destroyed).toBe(false)
})
