/** What RFC 9110 and RFC 9112 ask of a server: the rows of the conformance tests, in groups. */
import { CONDITIONS, EARLY, HALF_CLOSED, NEGOTIATION, PIPELINED } from './conformance-exchanges.ts'
import { CODINGS, EXPECTATIONS, FRAMING, HOSTS, LINES } from './conformance-heads.ts'
import type { ConformanceRow } from './conformance-requests.ts'

/** Every row, in groups. */
export const CONFORMANCE: Readonly<Record<string, readonly ConformanceRow[]>> = {
  framing: FRAMING,
  'transfer codings': CODINGS,
  Host: HOSTS,
  'request lines': LINES,
  Expect: EXPECTATIONS,
  'half-closed connections': HALF_CLOSED,
  pipelining: PIPELINED,
  conditions: CONDITIONS,
  negotiation: NEGOTIATION,
  'early refusals': EARLY,
}
