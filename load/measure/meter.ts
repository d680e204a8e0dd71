/** One measurement window: counts its answers, and the time that server and client spent on them. */
import { assert } from '../../src/core/assert.ts'
import { cpuBetween, type CpuReading, readCpu, readMachineCpu, readMemory } from './cpu.ts'
import { type Latency, makeHistogram } from './histogram.ts'
import type { Polling } from '../wires/polling.ts'

/** One request as bytes, and the length of its right answer. */
export interface PreparedRequest {
  bytes: Buffer
  answerBytesMin: number
  answerBytesMax: number
}

/**
 * The figures of one window. Those of the server are absent when its process is unknown; polling is no work
 * of the client.
 */
export interface RunMeasure extends Latency {
  requestCount: number
  seconds: number
  requestsPerSecond: number
  rowsPerSecond: number
  serverCpuPerRequestUs?: number
  serverCpuPerRowNs?: number
  /** Processors kept busy, 1 being one core all the time. */
  serverCores?: number
  serverRssBytes?: number
  clientCpuPerRequestUs: number
  clientCores: number
  /** Processors that others kept busy. Such a disturbance makes every other figure worse. */
  otherCores?: number
}

/** A wrong answer, which ends the run, because its figures would mean nothing. */
export class WrongAnswer extends Error {
  override readonly name = 'WrongAnswer'
}

export interface Meter {
  /** Checks and records one answer. */
  answer(request: PreparedRequest, status: number, bodyBytes: number, latencyMs: number): void
  /** Forgets all answers so far: the window starts now. */
  begin(): void
  count(): number
  end(): RunMeasure
}

/**
 * `rowCount` is the number of rows in one request. Answers before `begin` (warm-up) are checked, not counted.
 */
export function makeMeter(pid: number | undefined, rowCount: number, polling: Polling): Meter {
  const histogram = makeHistogram()
  let before: Usage | undefined
  return {
    answer: (request, status, bodyBytes, latencyMs) => {
      checkAnswer(request, status, bodyBytes)
      polling.work()
      histogram.record(latencyMs)
    },
    begin: () => {
      histogram.reset()
      before = readUsage(pid, polling)
    },
    count: () => histogram.count(),
    end: () => {
      assert(before !== undefined, 'a window ends after it began')
      const requestCount = histogram.count()
      const usage = describeUsage(before, readUsage(pid, polling), requestCount, rowCount)
      const { seconds } = usage
      return {
        ...histogram.read(),
        ...usage,
        requestCount,
        requestsPerSecond: requestCount / seconds,
        rowsPerSecond: (requestCount * rowCount) / seconds,
        serverRssBytes: pid === undefined ? undefined : readMemory(pid)?.rssBytes,
      }
    },
  }
}

/** The counters at one moment. */
interface Usage {
  atMs: number
  server: CpuReading | undefined
  clientNs: number
  /** Milliseconds by the clock in which the client has only polled. */
  idleMs: number
  machineNs: number | undefined
}

function readUsage(pid: number | undefined, polling: Polling): Usage {
  const { user, system } = process.cpuUsage()
  return {
    atMs: performance.now(),
    server: pid === undefined ? undefined : readCpu(pid),
    clientNs: (user + system) * 1_000,
    idleMs: polling.idleMs(),
    machineNs: readMachineCpu(),
  }
}

type UsageFigures = Pick<RunMeasure, 'seconds' | 'clientCpuPerRequestUs' | 'clientCores'> &
  Partial<RunMeasure>

function describeUsage(before: Usage, after: Usage, requestCount: number, rowCount: number): UsageFigures {
  const seconds = (after.atMs - before.atMs) / 1_000
  const clientNs = after.clientNs - before.clientNs
  // This is a share, not a difference: the clock runs on while others use the core, and the client's
  // processor time does not.
  const workNs = clientNs * (1 - (after.idleMs - before.idleMs) / (after.atMs - before.atMs))
  const figures: UsageFigures = {
    seconds,
    clientCpuPerRequestUs: workNs / 1_000 / requestCount,
    clientCores: workNs / 1e9 / seconds,
  }
  if (before.server === undefined || after.server === undefined) return figures
  const serverNs = cpuBetween(before.server, after.server)
  figures.serverCpuPerRequestUs = serverNs / 1_000 / requestCount
  figures.serverCpuPerRowNs = serverNs / requestCount / rowCount
  figures.serverCores = serverNs / 1e9 / seconds
  if (before.machineNs !== undefined && after.machineNs !== undefined) {
    figures.otherCores = Math.max(0, after.machineNs - before.machineNs - serverNs - clientNs) / 1e9 / seconds
  }
  return figures
}

function checkAnswer(
  { answerBytesMin, answerBytesMax }: PreparedRequest,
  status: number,
  bodyBytes: number,
): void {
  if (status === 200 && bodyBytes >= answerBytesMin && bodyBytes <= answerBytesMax) return
  const wanted =
    answerBytesMin === answerBytesMax ? `${answerBytesMin}` : `${answerBytesMin} to ${answerBytesMax}`
  throw new WrongAnswer(`status ${status} with ${bodyBytes} bytes, expected 200 with ${wanted}`)
}

/** The middle of `values`, or the mean of the two middle ones. */
export function median(values: number[]): number {
  const ascending = [...values].sort((left, right) => left - right)
  const middle = ascending.length >> 1
  return ascending.length % 2 === 1 ? ascending[middle] : (ascending[middle - 1] + ascending[middle]) / 2
}

/** The medians of several repeats, figure by figure; a figure that a repeat lacks is left out. */
export function medianOf(runs: RunMeasure[]): RunMeasure {
  const keys = Object.keys(runs[0]) as (keyof RunMeasure)[]
  const figures = keys
    .filter((key) => runs.every((run) => Number.isFinite(run[key])))
    .map((key) => [key, median(runs.map((run) => run[key] as number))])
  return Object.fromEntries(figures) as RunMeasure
}
