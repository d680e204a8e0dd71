import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type * as ReadHead from '../../../src/http/fast-path/read-head.ts'
import { runsOf } from '../../helpers/property-runs.ts'
import { runsLong } from '../../skips.ts'
import type * as Admission from '../../../src/http/fast-path/admission.ts'
import { compareServers } from './differential.ts'
import { type Servers, startServers } from './servers.ts'

type Reader = typeof ReadHead.readHead

/** The reader of request heads, which a test replaces by a careless one. */
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
  const isAdmitted: typeof original.isAdmitted = (facts, service) =>
    admitting.skips || original.isAdmitted(facts, service)
  return { ...original, isAdmitted }
})

let servers: Servers
/** Starts servers for one test, because a fast path caches the heads that it has read. */
const start = async () => {
  servers = await startServers()
  onTestFinished(() => servers.close())
}
afterEach(() => {
  reading.careless = undefined
  admitting.skips = false
})

/** Makes a reader that changes the text of a head before it is read. */
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
  /^(host|content-(?:type|length)|accept|connection|user-agent|accept-(?:encoding|language)|sec-fetch-mode):/i

/** Mutants that are found late, or like another one of the list. */
const LONG = new Set([
  'ignores `Connection: close`',
  'reads any content type as raw ids',
  'reads HTTP/1.0 as HTTP/1.1',
  'ignores unknown query parameters',
  'uses the first of two query parameters with the same name',
  'accepts malformed lengths',
  'accepts a space before the colon',
  'reads any method as POST',
  'answers with raw rows, whatever Accept says',
])
const isLong = runsLong('the mutants of the fast path that are found late')

/** Whatever the fast path checks is checked for a reason: a fast path that does not is found out. */
describe('The comparison with Fastify notices a fast path that', () => {
  test.for<[string, (head: string) => string]>([
    [
      'ignores unknown headers',
      (head) =>
        head
          .split('\r\n')
          .filter((line, i) => i === 0 || line === '' || KNOWN.test(line))
          .join('\r\n'),
    ],
    [
      'uses the first of two headers with the same name',
      (head) => {
        const names = new Set<string>()
        const isFirst = (line: string) =>
          line === '' ||
          (!names.has(line.split(':')[0].toLowerCase()) && names.add(line.split(':')[0].toLowerCase()))
        return head.split('\r\n').filter(isFirst).join('\r\n')
      },
    ],
    [
      'accepts a request without Host',
      (head) => (/\r\nhost:/i.test(head) ? head : head.replace('\r\n', '\r\nHost: here\r\n')),
    ],
    ['ignores `Connection: close`', (head) => head.replace(/\r\nconnection: close/i, '')],
    [
      'accepts malformed lengths',
      (head) => head.replace(/(\r\ncontent-length: )(?:\+|0|-|0x)(\d+)/i, '$1$2'),
    ],
    [
      'reads any content type as raw ids',
      (head) => head.replace(/(\r\ncontent-type: )[^\r]*/i, '$1application/octet-stream'),
    ],
    [
      'answers with raw rows, whatever Accept says',
      (head) => head.replace(/(\r\naccept: )[^\r]*/i, '$1application/octet-stream'),
    ],
    ['accepts lines that end in LF alone', (head) => head.replace(/([^\r])\n/g, '$1\r\n')],
    ['accepts a space before the colon', (head) => head.replace(/ :/, ':')],
    ['reads HTTP/1.0 as HTTP/1.1', (head) => head.replace('HTTP/1.0', 'HTTP/1.1')],
    ['reads any method as POST', (head) => head.replace(/^(?:GET|PUT|post) /, 'POST ')],
    [
      'uses the first of two query parameters with the same name',
      (head) => head.replace('?mode=clip&mode=wrap', '?mode=clip'),
    ],
    ['ignores unknown query parameters', (head) => head.replace(/\?(?:x|mask|pooling)=[^ ]*/, '')],
  ])('%s', { timeout: 240_000 }, async ([name, change], { skip }) => {
    skip(!isLong && LONG.has(name))
    await start()
    reading.careless = readAs(change)
    const { difference } = await compareServers(servers, 20_000, 1)
    expect(difference).not.toBe(null)
  })

  test('skips admission', { timeout: 240_000 }, async () => {
    await start()
    admitting.skips = true
    const { difference } = await compareServers(servers, 20_000, 1)
    expect(difference).toMatchObject({ state: 'loading' })
  })

  test('differs, but not a correct one behind the same mock', async () => {
    await start()
    reading.careless = readAs((head) => head)
    const { difference } = await compareServers(servers, runsOf({ quick: 500, long: 2_000 }), 1)
    expect(difference).toBe(null)
  })
})
