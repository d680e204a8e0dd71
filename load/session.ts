/** The run itself: upload, verify, warm up, then measure everything in interleaved repeats. */
import { setTimeout as sleep } from 'node:timers/promises'
import { driveClosedLoop } from './wires/closed-loop.ts'
import { readMemory } from './measure/cpu.ts'
import { median, medianOf, type PreparedRequest, type RunMeasure, WrongAnswer } from './measure/meter.ts'
import { driveOpenLoop, type OpenLoopMeasure } from './wires/open-loop.ts'
import type { LoadOptions } from './options.ts'
import { makeIdPool, planRequests } from './wires/requests.ts'
import type { OpenLoopResult, Results, ScenarioResult, TargetResult } from './results.ts'
import { makeTable, type SourceTable } from './rows.ts'
import { type Scenario, SEEDS, TABLES } from './scenarios.ts'
import type { Target } from './peers/target.ts'
import { type UploadMeasure, uploadTable } from './upload-table.ts'
import type { Wire } from './wires/wire.ts'
import { imitateAnswers, learnAnswers, verifyUpdate } from './verify.ts'

export interface Session {
  targets: Target[]
  scenarios: Scenario[]
  rowCount: number
  options: Pick<LoadOptions, 'quick' | 'windowSeconds' | 'warmupSeconds' | 'repeatCount'>
  /** Whether the client has a core of its own, on which it polls. */
  apart: boolean
  /** How long each kind of request runs before anything is measured; by default, as long as V8 needs. */
  settleSeconds?: number
  say(text: string): void
}

/** One scenario ready to be sent: its requests by target. */
interface Work {
  scenario: Scenario
  prepared: Map<Target, PreparedRequest[]>
  runs: Map<Target, RunMeasure[]>
}

/**
 * V8 needs seconds, not requests, to settle; without this its cost per request falls by half while being
 * measured.
 */
const SETTLE_SECONDS = 2
const SETTLE_SECONDS_QUICK = 0.6
/** A pause after a measurement, in which the server tidies up. */
const PAUSE_MS = 30
const OPEN_LOOP_CONNECTION_COUNT = 32
/**
 * The rate of the open loop: at half of what the slowest server manages, every server keeps up, and latency
 * is not all queueing.
 */
const OPEN_LOOP_SHARE = 0.5
/** Percentiles need more answers than a closed-loop window gives at that rate. */
const OPEN_LOOP_STRETCH = 2

/**
 * Measures all scenarios on all targets that support them. Throws {@link WrongAnswer} at the first wrong
 * answer.
 */
export async function runSession(
  session: Session,
): Promise<Pick<Results, 'targets' | 'scenarios' | 'openLoop'>> {
  const sources = makeSources(session)
  const uploads = await uploadAll(session, sources)
  const works = await prepareAll(session, sources)
  await settle(session, works)
  await measureAll(session, works)
  const openLoop = await measureOpenLoop(session, works)
  return {
    targets: session.targets.map((target) => describeTarget(target, uploads)),
    scenarios: works.map(summarize),
    openLoop,
  }
}

const describeTarget = (target: Target, uploads: Map<Target, UploadMeasure[]>): TargetResult => ({
  name: target.name,
  note: target.note,
  versions: target.versions,
  role: target.role,
  uploads: uploads.get(target) ?? [],
  rssPeakBytes: target.pid === undefined ? undefined : readMemory(target.pid)?.rssPeakBytes,
})

function makeSources({ scenarios, rowCount }: Session): Map<number, SourceTable> {
  const dims = new Set(scenarios.map((scenario) => scenario.dim))
  return new Map([...dims].map((dim) => [dim, makeTable(rowCount, dim, SEEDS.values)]))
}

async function uploadAll(
  { targets, scenarios, say }: Session,
  sources: Map<number, SourceTable>,
): Promise<Map<Target, UploadMeasure[]>> {
  const uploads = new Map<Target, UploadMeasure[]>()
  for (const plan of TABLES) {
    const users = scenarios.filter((scenario) => scenario.table === plan.name)
    for (const target of targets) {
      if (!users.some((scenario) => target.supports(scenario))) continue
      const source = sources.get(plan.dim) as SourceTable
      const upload = await uploadTable(target, plan, source)
      uploads.set(target, [...(uploads.get(target) ?? []), upload])
      say(`${target.name}: ${plan.name} uploaded, ${Math.round(upload.bytesPerSecond / 1e6)} MB/s`)
      if (users[0].kind === 'gradients' && target.role !== 'floor')
        await verifyUpdate(target, users[0], source)
    }
  }
  return uploads
}

async function prepareAll(
  { targets, scenarios, rowCount, say }: Session,
  sources: Map<number, SourceTable>,
): Promise<Work[]> {
  const works: Work[] = []
  const idPools = { zipf: makeIdPool('zipf', rowCount), uniform: makeIdPool('uniform', rowCount) }
  for (const scenario of scenarios) {
    const plans = planRequests(scenario, idPools[scenario.distribution])
    // All servers of one protocol get the same bytes.
    const encoded = new Map<Wire, Buffer[]>()
    const prepared = new Map<Target, PreparedRequest[]>()
    for (const target of targets.filter((candidate) => candidate.supports(scenario))) {
      const model = prepared.get(targets[0])
      const requests =
        encoded.get(target.wire) ?? plans.map((plan) => target.wire.encodeRequest(scenario, plan))
      encoded.set(target.wire, requests)
      if (target.role === 'floor' && model !== undefined)
        prepared.set(target, await imitateAnswers(target, model))
      else
        prepared.set(
          target,
          await learnAnswers(target, scenario, plans, requests, sources.get(scenario.dim) as SourceTable),
        )
    }
    works.push({ scenario, prepared, runs: new Map() })
  }
  say(`${scenarios.length} scenarios: the answers are right`)
  return works
}

/** Runs a small and a large request of every kind on every server. */
async function settle(session: Session, works: Work[]): Promise<void> {
  const { targets, options, say } = session
  const kinds = new Map<string, Work>()
  for (const work of works) {
    const { kind, encoding, idCount, durability } = work.scenario
    if (idCount <= 1_024) kinds.set(`${kind} ${encoding} ${durability} ${idCount <= 64}`, work)
  }
  const warmupSeconds = session.settleSeconds ?? (options.quick ? SETTLE_SECONDS_QUICK : SETTLE_SECONDS)
  for (const work of kinds.values()) {
    for (const target of targets)
      if (work.prepared.has(target))
        await measure(session, target, work, { warmupSeconds, windowSeconds: 0.05 })
  }
  say('servers are warm')
}

async function measureAll(session: Session, works: Work[]): Promise<void> {
  const { targets, options, say } = session
  for (let repeat = 0; repeat < options.repeatCount; repeat++) {
    for (const work of works) {
      const figures: string[] = []
      for (let turn = 0; turn < targets.length; turn++) {
        // Another server goes first each time.
        const target = targets[(turn + repeat) % targets.length]
        if (!work.prepared.has(target)) continue
        const run = await measure(session, target, work, options)
        work.runs.set(target, [...(work.runs.get(target) ?? []), run])
        figures.push(
          `${target.name} ${Math.round(run.requestsPerSecond)}/s ` +
            `${run.serverCpuPerRequestUs?.toFixed(1) ?? '?'} us`,
        )
      }
      say(`${repeat + 1}/${options.repeatCount} ${work.scenario.id}: ${figures.join(', ')}`)
    }
  }
}

type Times = Pick<LoadOptions, 'warmupSeconds' | 'windowSeconds'>

async function measure({ apart }: Session, target: Target, work: Work, times: Times): Promise<RunMeasure> {
  const { scenario } = work
  const run = await naming(target, scenario, async () =>
    driveClosedLoop({
      url: target.url,
      wire: target.wire,
      pid: target.pid,
      requests: await requestsFor(target, work),
      connectionCount: scenario.connectionCount,
      rowCount: scenario.idCount,
      warmupSeconds: times.warmupSeconds,
      seconds: times.windowSeconds,
      polls: apart,
    }),
  )
  await sleep(PAUSE_MS)
  return run
}

/** A floor answers as many bytes as it was last told, so it is told before each measurement. */
async function requestsFor(target: Target, { prepared }: Work): Promise<PreparedRequest[]> {
  const requests = prepared.get(target) as PreparedRequest[]
  return target.role === 'floor' ? imitateAnswers(target, requests) : requests
}

async function naming<T>(target: Target, scenario: Scenario, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    throw new WrongAnswer(
      `${target.name}, ${scenario.id}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

/**
 * Measures all servers at one rate, so that latencies can be compared: half of what the slowest real server
 * answers in the closed loop.
 */
async function measureOpenLoop(
  { targets, options, apart, say }: Session,
  works: Work[],
): Promise<OpenLoopResult[]> {
  const results: OpenLoopResult[] = []
  for (const work of works.filter(({ scenario }) => scenario.openLoop)) {
    const real = targets.filter((target) => target.role !== 'floor' && work.runs.has(target))
    const rates = real.map((target) =>
      median((work.runs.get(target) as RunMeasure[]).map((run) => run.requestsPerSecond)),
    )
    const ratePerSecond = Math.round(Math.min(...rates) * OPEN_LOOP_SHARE)
    const runs = new Map<Target, OpenLoopMeasure[]>()
    for (let repeat = 0; repeat < options.repeatCount; repeat++) {
      for (const target of targets.filter((candidate) => work.runs.has(candidate))) {
        const run = await naming(target, work.scenario, async () =>
          driveOpenLoop({
            url: target.url,
            wire: target.wire,
            pid: target.pid,
            requests: await requestsFor(target, work),
            connectionCount: OPEN_LOOP_CONNECTION_COUNT,
            rowCount: work.scenario.idCount,
            ratePerSecond,
            warmupSeconds: options.warmupSeconds,
            seconds: options.windowSeconds * OPEN_LOOP_STRETCH,
            polls: apart,
          }),
        )
        runs.set(target, [...(runs.get(target) ?? []), run])
        await sleep(PAUSE_MS)
      }
    }
    results.push({ scenarioId: work.scenario.id, ratePerSecond, measured: measuredOf(runs) })
    say(
      `open loop at ${ratePerSecond}/s ${work.scenario.id}: ` +
        [...runs].map(([target, own]) => `${target.name} p99 ${own[0].p99Us} us`).join(', '),
    )
  }
  return results
}

const summarize = ({ scenario, runs }: Work): ScenarioResult => ({ ...scenario, measured: measuredOf(runs) })

const measuredOf = <T extends RunMeasure>(runs: Map<Target, T[]>): Record<string, { median: T; runs: T[] }> =>
  Object.fromEntries(
    [...runs].map(([target, own]) => [target.name, { median: medianOf(own) as T, runs: own }]),
  )
