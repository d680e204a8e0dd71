import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type * as ReadHead from '../../../src/http/fast-path/read-head.ts'
import type * as Admission from '../../../src/http/fast-path/admission.ts'
import { compareServers } from './differential.ts'
import { type Servers, startServers } from './servers.ts'

type Reader = typeof ReadHead.readHead

/** What the fast path reads heads with; a test puts a careless reader in its place. */
const reading = vi.hoisted(() => ({
  careless: undefined as ((careful: Reader, bytes: Buffer) => ReadHead.FastPathHead | null) | undefined,
}))
vi.mock('../../../src/http/fast-path/read-head.ts', async (importOriginal) => {
  const original = await importOriginal<typeof ReadHead>()
  const readHead: Reader = (bytes) => reading.careless?.(original.readHead, bytes) ?? original.readHead(bytes)
  return { ...original, readHead }
})

/** Whether the fast path skips admission, which Fastify's hook does not. */
const admitting = vi.hoisted(() => ({ skips: false }))
vi.mock('../../../src/http/fast-path/admission.ts', async (importOriginal) => {
  const original = await importOriginal<typeof Admission>()
  const isAdmitted: typeof original.isAdmitted = (facts, state) =>
    admitting.skips || original.isAdmitted(facts, state)
  return { ...original, isAdmitted }
})

let servers: Servers
// New ones each: a fast path remembers the heads that it has read.
beforeEach(async () => {
  servers = await startServers()
})
afterEach(() => {
  reading.careless = undefined
  admitting.skips = false
  return servers.close()
})

/** A reader that reads a head as if its text were another one. */
const readAs =
  (change: (head: string) => string) =>
  (careful: Reader, bytes: Buffer): ReadHead.FastPathHead | null => {
    const end = bytes.indexOf('\r\n\r\n') + 4
    if (end < 4) return null
    const changed = Buffer.from(change(bytes.toString('latin1', 0, end)), 'latin1')
    const head = careful(changed)
    return head === null ? null : { ...head, headBytes: end }
  }

const KNOWN =
  /^(host|content-type|accept|content-length|connection|user-agent|accept-encoding|accept-language|sec-fetch-mode):/i

/** Whatever the fast path checks is checked for a reason: a fast path that does not is found out. */
describe('The comparison with Fastify notices a fast path that', () => {
  test.each<[string, (head: string) => string]>([
    [
      'overlooks headers that it does not know',
      (head) =>
        head
          .split('\r\n')
          .filter((line, i) => i === 0 || line === '' || KNOWN.test(line))
          .join('\r\n'),
    ],
    [
      'takes the first of two headers of a name',
      (head) => {
        const names = new Set<string>()
        const isFirst = (line: string) =>
          line === '' ||
          (!names.has(line.split(':')[0].toLowerCase()) && names.add(line.split(':')[0].toLowerCase()))
        return head.split('\r\n').filter(isFirst).join('\r\n')
      },
    ],
    [
      'does not miss a Host',
      (head) => (/\r\nhost:/i.test(head) ? head : head.replace('\r\n', '\r\nHost: here\r\n')),
    ],
    ['does not close when it is asked to', (head) => head.replace(/\r\nconnection: close/i, '')],
    ['takes any length for one', (head) => head.replace(/(\r\ncontent-length: )(?:\+|0|-|0x)(\d+)/i, '$1$2')],
    [
      'takes any type for its own',
      (head) => head.replace(/(\r\ncontent-type: )[^\r]*/i, '$1application/octet-stream'),
    ],
    [
      'answers in octets whatever is wanted',
      (head) => head.replace(/(\r\naccept: )[^\r]*/i, '$1application/octet-stream'),
    ],
    ['reads lines that only end in LF', (head) => head.replace(/([^\r])\n/g, '$1\r\n')],
    ['takes a space before the colon', (head) => head.replace(/ :/, ':')],
    ['reads HTTP/1.0 as HTTP/1.1', (head) => head.replace('HTTP/1.0', 'HTTP/1.1')],
    ['reads any method as POST', (head) => head.replace(/^(?:GET|PUT|post) /, 'POST ')],
    [
      'takes the first of two options of a name',
      (head) => head.replace('?mode=clip&mode=wrap', '?mode=clip'),
    ],
    ['overlooks options that it does not know', (head) => head.replace(/\?(?:x|mask|pooling)=[^ ]*/, '')],
  ])('%s', { timeout: 60_000 }, async (_, change) => {
    reading.careless = readAs(change)
    const { difference } = await compareServers(servers, 20_000, 1)
    expect(difference).not.toBe(null)
  })

  test('skips admission', { timeout: 60_000 }, async () => {
    admitting.skips = true
    const { difference } = await compareServers(servers, 20_000, 1)
    expect(difference).toMatchObject({ state: 'loading' })
  })

  test('but not a careful one that is called the same way', async () => {
    reading.careless = readAs((head) => head)
    const { difference } = await compareServers(servers, 2_000, 1)
    expect(difference).toBe(null)
  })
})
