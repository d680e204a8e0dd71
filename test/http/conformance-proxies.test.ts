import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Service, startService } from '../helpers/service.ts'
import { needs, runsLong } from '../skips.ts'
import { expectBehindProxy, prepareTable, removeLeftovers } from './conformance.ts'
import type { Validators } from './conformance-requests.ts'
import { CONFORMANCE } from './conformance-rows.ts'
import { type Proxy, type ProxyName, startProxy } from './proxies.ts'

const NAMES: readonly ProxyName[] = ['nginx', 'haproxy']
/** The rows that mean something to a proxy. */
const GROUPS = Object.entries(CONFORMANCE)
  .map(([group, rows]) => [group, rows.filter(({ behind }) => behind !== 'skip')] as const)
  .filter(([, rows]) => rows.length > 0)

const isLong = runsLong('every row of the conformance list behind nginx and haproxy')
const PATHS = [
  ['the fast path', true],
  ['Fastify alone', false],
] as const

describe.each(NAMES)('Behind %s', (name) => {
  const hasProxy = needs(name)

  describe.skipIf(!hasProxy || !isLong).each(PATHS)('with its default settings, %s', (_path, fastPath) => {
    let service: Service
    let proxy: Proxy
    let url: string
    let tags: Validators
    beforeAll(async () => {
      service = await startService({ fastPath, logLevel: 'silent' })
      url = await service.listen()
      proxy = await startProxy(name, Number(new URL(url).port), 'defaults')
      tags = await prepareTable(url)
    })
    afterAll(async () => {
      await proxy?.close()
      await service.close()
    })

    describe.each(GROUPS)('answers by the book: %s', (_group, rows) => {
      afterAll(() => removeLeftovers(url))
      test.each(rows.map((row) => [row.about, row] as const))('%s', (_about, row) =>
        expectBehindProxy(proxy.port, row, tags),
      )
    })
  })

  describe.skipIf(!hasProxy)('with the settings of the page about proxies', () => {
    let service: Service
    let proxy: Proxy
    let url: string
    let connectionCount = 0
    beforeAll(async () => {
      service = await startService({ fastPath: true, logLevel: 'silent' })
      const upstream = Number(new URL(await service.listen()).port)
      proxy = await startProxy(name, upstream, 'page')
      url = `http://127.0.0.1:${proxy.port}`
      // haproxy learns by its check that the service is there.
      for (let tries = 0; tries < 200 && (await fetch(`${url}/livez`)).status !== 200; tries++)
        await sleep(20)
      service.app.server.on('connection', () => connectionCount++)
    })
    afterAll(async () => {
      await proxy?.close()
      await service.close()
    })

    const put = (path: string, body: Uint8Array<ArrayBuffer>, type = 'application/octet-stream') =>
      fetch(`${url}/v1/tables/${path}`, { method: 'PUT', headers: { 'content-type': type }, body })

    test('takes uploads of any size, and passes answers on', async () => {
      const rows = Float32Array.from({ length: 1_000_000 }, (_, i) => i)
      expect((await put('large?rows=10000&dim=100', new Uint8Array(rows.buffer))).status).toBe(201)
      const answer = await fetch(`${url}/v1/tables/large/data`, {
        headers: { accept: 'application/octet-stream' },
      })
      expect(Buffer.from(await answer.arrayBuffer()).equals(Buffer.from(rows.buffer))).toBe(true)
    })

    test('passes refusals of large bodies on', async () => {
      const body = new Uint8Array(6_000_000)
      const statuses = [
        (await put('none?rows=1&dim=3', body)).status,
        (await put('none', body, 'text/plain')).status,
        (await put('none', body, 'application/x-npy')).status,
      ]
      expect(statuses).toEqual([400, 415, 400])
    })

    test('reuses its connections', async () => {
      const lookUp = async (): Promise<void> => {
        const answer = await fetch(`${url}/v1/tables/large/lookup`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: '{"indices":[7]}',
        })
        expect(answer.status).toBe(200)
        await answer.arrayBuffer()
      }
      await lookUp()
      connectionCount = 0
      for (let i = 0; i < 20; i++) await lookUp()
      // haproxy connects once a second for its check.
      expect(connectionCount).toBeLessThan(5)
    })
  })
})
