/**
 * Random conversations of a client with a server: correct requests with parts changed, bytes damaged and
 * pieces cut.
 */

import type { Chooser } from './seeded-choices.ts'
import { type Draft, draftRequest } from './request-drafts.ts'
import { LENGTHS, ODD_HEADERS, ODD_LINES, ODD_QUERIES, SPACES, TYPES } from './odd-parts.ts'

type Change = (draft: Draft, choose: Chooser) => void

const changeValue = (draft: Draft, choose: Chooser, name: string, values: readonly string[]): void => {
  draft.headers = draft.headers.map((line) =>
    line.startsWith(`${name}:`) ? `${name}: ${choose.pick(values)}` : line,
  )
}
const atHeader = (draft: Draft, choose: Chooser, change: (line: string) => string): void => {
  const at = choose.below(draft.headers.length)
  if (draft.headers.length > 0) draft.headers[at] = change(draft.headers[at])
}

/** Changes of a request; most make it incorrect. */
const CHANGES: readonly Change[] = [
  (draft, choose) => draft.headers.sort(() => choose.below(3) - 1),
  (draft, choose) =>
    atHeader(draft, choose, (line) =>
      line.replace(/^[^:]*/, (name) => choose.pick([name.toLowerCase(), name.toUpperCase()])),
    ),
  (draft, choose) => atHeader(draft, choose, (line) => line.replace(': ', choose.pick(SPACES))),
  (draft, choose) =>
    atHeader(draft, choose, (line) =>
      choose.pick([`${line} `, `${line}\t`, ` ${line}`, `${line}\r`, `${line}\n`, `${line}\r\n`]),
    ),
  (draft, choose) => draft.headers.push(choose.pick(draft.headers)),
  (draft, choose) => void draft.headers.splice(choose.below(draft.headers.length), 1),
  (draft, choose) =>
    void draft.headers.splice(choose.below(draft.headers.length + 1), 0, choose.pick(ODD_HEADERS)),
  (draft, choose) =>
    void draft.headers.splice(choose.below(draft.headers.length + 1), 0, choose.pick(ODD_HEADERS)),
  (draft, choose) => changeValue(draft, choose, 'Content-Length', LENGTHS),
  (draft, choose) => changeValue(draft, choose, 'Content-Type', TYPES),
  (draft, choose) => changeValue(draft, choose, 'Accept', TYPES),
  (draft, choose) => (draft.requestLine = choose.pick(ODD_LINES)),
  (draft, choose) =>
    (draft.requestLine = draft.requestLine.replace(/(\?[^ ]*)? HTTP/, `${choose.pick(ODD_QUERIES)} HTTP`)),
  (draft, choose) => (draft.lineEnd = choose.pick(['\n', '\r', '\r\r\n', '\r\n'])),
  (draft, choose) => {
    if (draft.headers.includes('Content-Type: application/octet-stream')) {
      draft.body = Buffer.from(Int32Array.of(choose.pick([-1, 8, 2 ** 31 - 1, -(2 ** 31)]), 1).buffer)
    }
  },
  (draft, choose) => (draft.body = draft.body.subarray(choose.below(5))),
  (draft, choose) => (draft.body = Buffer.concat([draft.body, Buffer.alloc(choose.below(5))])),
  (draft, choose) =>
    (draft.requestLine = choose.pick(['\r\n', '\n', '\r\n\r\n', '\0', ' ']) + draft.requestLine),
]

const render = ({ requestLine, headers, lineEnd, body }: Draft): Buffer =>
  Buffer.concat([Buffer.from([requestLine, ...headers, '', ''].join(lineEnd), 'latin1'), body])

/** Inserts, removes or replaces one byte anywhere. */
const damage = (bytes: Buffer, choose: Chooser): Buffer => {
  const at = choose.below(bytes.length)
  const byte = Buffer.of(choose.pick([choose.below(256), 9, 10, 13, 32, 58]))
  const keep = choose.pick([0, 1, 1])
  return Buffer.concat([
    bytes.subarray(0, at),
    choose.once(3) ? Buffer.alloc(0) : byte,
    bytes.subarray(at + keep),
  ])
}

const makeRequest = (choose: Chooser): Buffer => {
  const draft = draftRequest(choose)
  for (let count = choose.pick([0, 0, 1, 1, 2, 3]); count > 0; count--) choose.pick(CHANGES)(draft, choose)
  if (!choose.once(12)) return render(draft)
  // The numbers of an update are not damaged, because sums of arbitrary numbers depend on the order of
  // connections.
  if (draft.isUpdate)
    return Buffer.concat([damage(render({ ...draft, body: Buffer.alloc(0) }), choose), draft.body])
  return damage(render(draft), choose)
}

/** Makes the bytes of one connection, in the pieces that the server gets. */
export const makeConversation = (choose: Chooser): Buffer[] => {
  const first = makeRequest(choose)
  const requests = [first]
  while (choose.once(3) && requests.length < 5) requests.push(choose.once(2) ? first : makeRequest(choose))
  let bytes = Buffer.concat(requests)
  if (choose.once(15))
    bytes = Buffer.concat([
      bytes,
      choose.pick([Buffer.from('garbage'), Buffer.of(0), Buffer.from('\r\n'), Buffer.from('POST /v1/tab')]),
    ])
  if (choose.once(15)) bytes = bytes.subarray(0, choose.below(bytes.length + 1))
  return cut(bytes, choose)
}

const cut = (bytes: Buffer, choose: Chooser): Buffer[] => {
  if (choose.once(200)) return Array.from(bytes, (byte) => Buffer.of(byte))
  const ends = Array.from({ length: choose.pick([0, 0, 0, 1, 2, 4]) }, () =>
    choose.below(bytes.length + 1),
  ).sort((a, b) => a - b)
  return [...ends, bytes.length]
    .map((end, i) => bytes.subarray(i === 0 ? 0 : ends[i - 1], end))
    .filter((piece) => piece.length > 0)
}
