/** Reads the facts of a request's head that admission decides on. */
import type { IncomingMessage } from 'node:http'

/** What is wrong with a head that node:http's parser lets pass. */
export type HeadFlaw =
  | 'versionUnknown'
  | 'hostMissing'
  | 'hostRepeated'
  | 'hostMalformed'
  | 'codingUnknown'
  | 'expectationUnknown'

/** Host (RFC 9112, 3.2): a name or an address of RFC 3986, and a port; it may be empty. */
const HOST = /^(?:\[[\w:.%~!$&'()*+,;=-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::\d*)?$/

/** Whether a Host header has a value that one may have. */
export const isHost = (value: string): boolean => HOST.test(value)

/** Returns what is wrong with the head of a request; null when nothing is. */
export const findHeadFlaw = (raw: IncomingMessage): HeadFlaw | null => {
  const { headers, httpVersionMajor, httpVersion } = raw
  if (httpVersionMajor !== 1) return 'versionUnknown'
  const host = findHostFlaw(raw)
  if (host !== null) return host
  const coding = headers['transfer-encoding']
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') return 'codingUnknown'
  const { expect } = headers
  if (expect !== undefined && httpVersion === '1.1' && expect.toLowerCase() !== '100-continue')
    return 'expectationUnknown'
  return null
}

const findHostFlaw = ({ headers: { host }, rawHeaders, httpVersion }: IncomingMessage): HeadFlaw | null => {
  // HTTP/1.0 has no Host.
  if (host === undefined) return httpVersion === '1.1' ? 'hostMissing' : null
  // Node keeps the first of several and drops the others.
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2)
    if (rawHeaders[i].length === 4 && rawHeaders[i].toLowerCase() === 'host') count++
  if (count > 1) return 'hostRepeated'
  return isHost(host) ? null : 'hostMalformed'
}

/**
 * Returns the path of a request target: a client may send a whole URI (RFC 9112, 3.2.2), as to a proxy.
 */
export const pathOfTarget = (target: string): string => {
  if (target.startsWith('/')) return target
  const path = /^https?:\/\/[^/?#]*(.*)$/i.exec(target)?.[1]
  if (path === undefined) return target
  return path.startsWith('/') ? path : `/${path}`
}
