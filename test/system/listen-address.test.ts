import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { checkAddress, explainListenError, ListenRefusal } from '../../src/system/listen-address.ts'

const refusalOf = async (host: string, port = 0): Promise<string> => {
  const error = await checkAddress({ host, port }).then(
    () => expect.unreachable(`${host} can be listened on`),
    (reason: unknown) => reason as Error,
  )
  expect(error, host).toBeInstanceOf(ListenRefusal)
  expect(error.message).not.toContain('\n')
  return error.message
}

describe('An address to listen on', () => {
  test('is free afterwards when it can be had', async () => {
    await checkAddress({ host: '127.0.0.1', port: 0 })
    await checkAddress({ host: 'localhost', port: 0 })
  })

  test('is refused by a sentence when it is none of this machine', async () => {
    for (const host of ['http://127.0.0.1', '127.0.0.1:9000', '256.1.1.1', '*'])
      expect(await refusalOf(host), host).toMatch(
        /^the host ".*" has no address; set --host or GATHERD_HOST .* \(ENOTFOUND\)$|no name server answers/,
      )
    for (const host of ['192.0.2.7', '2001:db8::1'])
      expect(await refusalOf(host), host).toMatch(
        / is not an address of this machine; set --host or GATHERD_HOST|has no network of the kind/,
      )
    expect(await refusalOf('fe80::1')).toMatch(/needs its interface|has no network of the kind/)
  })

  test('is refused by a sentence when its port is taken', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      expect(await refusalOf('127.0.0.1', port)).toBe(
        `port ${port} of 127.0.0.1 is in use; choose another port with --port or GATHERD_PORT ` +
          '(0: any free one) (EADDRINUSE)',
      )
    } finally {
      server.close()
    }
  })

  test('has a sentence for a privileged port and for every other error of listening', () => {
    const explain = (facts: object) =>
      explainListenError(Object.assign(new Error('x'), facts), { host: '::1', port: 80 })
    expect(explain({ code: 'EACCES' })).toMatchObject({
      message: expect.stringMatching(
        /^this user may not listen on port 80; choose another port .* \(EACCES\)$/,
      ),
    })
    expect(explain({ code: 'EAI_AGAIN' })).toBeInstanceOf(ListenRefusal)
    expect(explain({ code: 'EPERM', syscall: 'listen' })).toBeInstanceOf(ListenRefusal)
    expect(explain({ code: 'ERR_WORKER_OUT_OF_MEMORY' })).not.toBeInstanceOf(ListenRefusal)
    expect(explain({})).not.toBeInstanceOf(ListenRefusal)
  })
})
