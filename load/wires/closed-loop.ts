/**
 * The closed loop: every connection sends its next request when the last one is answered. autocannon drives
 * it.
 */
import autocannon, { type Client } from 'autocannon'
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from '../../src/core/assert.ts'
import { httpWire } from './http-wire.ts'
import { makeMeter, type Meter, type PreparedRequest, type RunMeasure } from '../measure/meter.ts'
import { startPolling } from './polling.ts'
import type { Wire } from './wire.ts'

export interface ClosedLoop {
  url: string
  wire: Wire
  pid: number | undefined
  requests: PreparedRequest[]
  connectionCount: number
  /** Rows in one request. */
  rowCount: number
  warmupSeconds: number
  seconds: number
  /** Whether the client polls in place of sleeping. */
  polls: boolean
}

/** autocannon ends runs by its own clock; this one ends when the window has been measured. */
const RUN_SECONDS_MAX = 86_400
const STOP_CHECK_MS = 10
const ANSWER_SECONDS_MAX = 30
/**
 * A window with fewer answers per connection than this measures its own edges: it is made longer, up to five
 * times.
 */
const ANSWERS_PER_CONNECTION_MIN = 4
const WINDOW_STRETCH_MAX = 5

/**
 * Measures one window after a warm-up. Rejects at the first wrong answer, refused connection or missing
 * answer.
 */
export async function driveClosedLoop(loop: ClosedLoop): Promise<RunMeasure> {
  const polling = startPolling(loop.polls)
  const meter = makeMeter(loop.pid, loop.rowCount, polling)
  const failure = Promise.withResolvers<never>()
  const ended = Promise.withResolvers<void>()
  const tracker = autocannon(
    {
      url: `http://${new URL(loop.url).host}`,
      connections: loop.connectionCount,
      duration: RUN_SECONDS_MAX,
      sampleInt: STOP_CHECK_MS,
      timeout: ANSWER_SECONDS_MAX,
      setupClient: makeClientSetup(loop, meter, failure.reject),
    },
    (error) => (error === null ? ended.resolve() : failure.reject(error)),
  )
  tracker.on('reqError', failure.reject)
  try {
    return await Promise.race([measureWindow(meter, loop), failure.promise])
  } finally {
    polling.stop()
    tracker.stop()
    await ended.promise
  }
}

async function measureWindow(
  meter: Meter,
  { connectionCount, warmupSeconds, seconds }: ClosedLoop,
): Promise<RunMeasure> {
  await sleep(warmupSeconds * 1_000)
  meter.begin()
  for (let stretch = 1; stretch <= WINDOW_STRETCH_MAX || meter.count() === 0; stretch++) {
    await sleep(seconds * 1_000)
    if (meter.count() >= ANSWERS_PER_CONNECTION_MIN * connectionCount) break
    assert(stretch * seconds < ANSWER_SECONDS_MAX, `an answer within ${ANSWER_SECONDS_MAX} s`)
  }
  return meter.end()
}

/** The head that autocannon is given for an answer in another protocol than its own. */
const SYNTHETIC_ANSWER = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')

/**
 * Makes every autocannon client take its bytes from the prepared requests, and count the bytes of an answer.
 * Left alone, autocannon builds a copy of all requests per connection and decodes every body to a string: for
 * megabytes of floats that costs more than the server's whole work. A protocol other than HTTP is read by its
 * own reader, in front of autocannon's.
 */
function makeClientSetup(
  { requests, wire }: ClosedLoop,
  meter: Meter,
  fail: (error: unknown) => void,
): (client: Client) => void {
  let next = 0
  return (client) => {
    assert(
      typeof client.getRequestBuffer === 'function' &&
        typeof client.pipelinedRequests?.addBody === 'function' &&
        typeof client.parser?.execute === 'function',
      'an autocannon 9 client',
    )
    let current = requests[0]
    let bodyBytes = 0
    let ownStatus: number | undefined
    client.getRequestBuffer = () => {
      current = requests[next]
      next = (next + 1) % requests.length
      return current.bytes
    }
    client.pipelinedRequests.addBody = (piece) => {
      bodyBytes += piece.length
    }
    if (wire !== httpWire) {
      const parse = client.parser.execute.bind(client.parser)
      client.parser.execute = wire.makeReader((status, answerBytes) => {
        ownStatus = status
        bodyBytes = answerBytes
        parse(SYNTHETIC_ANSWER)
      })
    }
    client.on('response', (status, _wireBytes, latencyMs) => {
      try {
        meter.answer(current, ownStatus ?? status, bodyBytes, latencyMs)
      } catch (error) {
        fail(error)
      }
      bodyBytes = 0
    })
  }
}
