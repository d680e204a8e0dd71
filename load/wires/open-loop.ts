/**
 * The open loop: requests are due at times that do not wait for the answers, as those of independent users
 * are. Latency counts from the moment a request was due, so a stall shows in every request that came due
 * meanwhile.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { makeMeter, type Meter, type PreparedRequest, type RunMeasure } from '../measure/meter.ts'
import { type Polling, startPolling } from './polling.ts'
import { SEEDS } from '../scenarios.ts'
import type { Wire } from './wire.ts'
import { makeRandom } from '../zipf.ts'

export interface OpenLoop {
  url: string
  wire: Wire
  pid: number | undefined
  requests: PreparedRequest[]
  connectionCount: number
  /** Rows in one request. */
  rowCount: number
  ratePerSecond: number
  warmupSeconds: number
  seconds: number
  /** Whether the client polls in place of sleeping. */
  polls: boolean
}

export interface OpenLoopMeasure extends RunMeasure {
  /** Requests that were due and still unsent when the window ended, for want of a free connection. */
  unsentCount: number
}

/**
 * The client sleeps in gaps longer than this, because a client that never sleeps takes a core from the
 * server.
 */
const SLEEP_MS_MIN = 2

/** Measures one window after a warm-up, with exponentially distributed seeded gaps between requests. */
export async function driveOpenLoop(loop: OpenLoop): Promise<OpenLoopMeasure> {
  const polling = startPolling(loop.polls)
  const meter = makeMeter(loop.pid, loop.rowCount, polling)
  const failure = Promise.withResolvers<never>()
  const sender = makeSender(loop.requests, meter)
  const lines = Array.from({ length: loop.connectionCount }, () => openLine(loop, sender, failure.reject))
  try {
    await Promise.race([Promise.all(lines.map(({ socket }) => once(socket, 'connect'))), failure.promise])
    sender.idle.push(...lines)
    await Promise.race([makeSchedule(loop, sender, meter, polling), failure.promise])
    return { ...meter.end(), unsentCount: sender.due.length }
  } finally {
    polling.stop()
    for (const { socket } of lines) socket.destroy()
  }
}

/** One connection with at most one request in flight. */
interface Line {
  socket: Socket
  request: PreparedRequest | undefined
  dueMs: number
}

interface Sender {
  idle: Line[]
  /** The due times of the requests that wait for a connection, in order. */
  due: number[]
  submit(dueMs: number): void
  complete(line: Line, status: number, bodyBytes: number): void
}

function makeSender(requests: PreparedRequest[], meter: Meter): Sender {
  let next = 0
  const send = (line: Line, dueMs: number): void => {
    line.request = requests[next]
    line.dueMs = dueMs
    next = (next + 1) % requests.length
    line.socket.write(line.request.bytes)
  }
  const sender: Sender = {
    idle: [],
    due: [],
    submit: (dueMs) => {
      const line = sender.idle.pop()
      if (line === undefined) sender.due.push(dueMs)
      else send(line, dueMs)
    },
    complete: (line, status, bodyBytes) => {
      const now = performance.now()
      meter.answer(line.request as PreparedRequest, status, bodyBytes, now - line.dueMs)
      const dueMs = sender.due.shift()
      if (dueMs === undefined) sender.idle.push(line)
      else send(line, dueMs)
    },
  }
  return sender
}

/**
 * Submits requests until the window is over. It polls the clock when the next one is near: timers are a
 * millisecond coarse.
 */
function makeSchedule(loop: OpenLoop, sender: Sender, meter: Meter, polling: Polling): Promise<void> {
  const { ratePerSecond, warmupSeconds, seconds } = loop
  const random = makeRandom(SEEDS.arrivals)
  const gapMs = 1_000 / ratePerSecond
  const startedMs = performance.now()
  let beganMs: number | undefined
  let dueMs = startedMs
  return new Promise((resolve) => {
    const turn = (): void => {
      const now = performance.now()
      if (beganMs !== undefined && now >= beganMs + seconds * 1_000) return resolve()
      if (beganMs === undefined && now >= startedMs + warmupSeconds * 1_000) {
        beganMs = now
        meter.begin()
      }
      while (dueMs <= now) {
        sender.submit(dueMs)
        polling.work()
        dueMs -= Math.log(1 - random()) * gapMs
      }
      if (dueMs - now > SLEEP_MS_MIN && !loop.polls) setTimeout(turn, 1)
      else setImmediate(turn)
    }
    turn()
  })
}

function openLine({ url, wire }: OpenLoop, sender: Sender, fail: (error: unknown) => void): Line {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  const line: Line = { socket, request: undefined, dueMs: 0 }
  const read = wire.makeReader((status, bodyBytes) => sender.complete(line, status, bodyBytes))
  socket.on('data', (piece: Buffer) => {
    try {
      read(piece)
    } catch (error) {
      fail(error)
    }
  })
  socket.on('error', fail)
  socket.on('end', () => fail(new Error('the server closed a connection')))
  return line
}
