/**
 * The open loop: requests are due at times that do not wait for the answers, as those of independent users are.
 * Latency counts from the moment a request was due, so a stall is seen by everyone who came meanwhile.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { makeMeter, type Meter, type PreparedRequest, type RunMeasure } from './meter.ts'
import { SEEDS } from './scenarios.ts'
import { makeRandom } from './zipf.ts'

export interface OpenLoop {
  url: string
  pid: number | undefined
  requests: PreparedRequest[]
  connectionCount: number
  /** Rows in one request. */
  rowCount: number
  ratePerSecond: number
  warmupSeconds: number
  seconds: number
}

export interface OpenLoopMeasure extends RunMeasure {
  /** Requests that were due and still unsent when the window ended, for want of a free connection. */
  unsentCount: number
}

/** A gap long enough to sleep in: a client that never does takes a core from the server. */
const SLEEP_MS_MIN = 2

/** Measures one window after a warm-up, with exponentially distributed seeded gaps between requests. */
export async function driveOpenLoop(loop: OpenLoop): Promise<OpenLoopMeasure> {
  const meter = makeMeter(loop.pid, loop.rowCount)
  const failure = Promise.withResolvers<never>()
  const sender = makeSender(loop.requests, meter)
  const lines = Array.from({ length: loop.connectionCount }, () => openLine(loop.url, sender, failure.reject))
  try {
    await Promise.race([Promise.all(lines.map(({ socket }) => once(socket, 'connect'))), failure.promise])
    sender.idle.push(...lines)
    await Promise.race([makeSchedule(loop, sender, meter), failure.promise])
    return { ...meter.end(), unsentCount: sender.due.length }
  } finally {
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
  /** When the requests that wait for a connection were due, in order. */
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

/** Submits requests until the window is over. It polls the clock when the next one is near: timers are a millisecond coarse. */
function makeSchedule({ ratePerSecond, warmupSeconds, seconds }: OpenLoop, sender: Sender, meter: Meter): Promise<void> {
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
        dueMs -= Math.log(1 - random()) * gapMs
      }
      if (dueMs - now > SLEEP_MS_MIN) setTimeout(turn, 1)
      else setImmediate(turn)
    }
    turn()
  })
}

function openLine(url: string, sender: Sender, fail: (error: unknown) => void): Line {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), noDelay: true })
  const line: Line = { socket, request: undefined, dueMs: 0 }
  const read = makeAnswerReader((status, bodyBytes) => sender.complete(line, status, bodyBytes))
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

/** Reads HTTP/1.1 answers that announce their length; calls `done` once an answer is complete. */
export function makeAnswerReader(done: (status: number, bodyBytes: number) => void): (piece: Buffer) => void {
  let head = ''
  let status = 0
  let bodyBytes = 0
  let missingBytes = -1
  return (piece) => {
    let body = piece
    if (missingBytes < 0) {
      const already = head.length
      head += piece.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      status = Number(head.slice(9, 12))
      bodyBytes = Number(/\r\ncontent-length: *(\d+)/i.exec(head.slice(0, end + 2))?.[1] ?? Number.NaN)
      if (Number.isNaN(bodyBytes)) throw new Error('an answer without Content-Length')
      missingBytes = bodyBytes
      body = piece.subarray(end + 4 - already)
      head = ''
    }
    missingBytes -= body.length
    if (missingBytes > 0) return
    missingBytes = -1
    done(status, bodyBytes)
  }
}
