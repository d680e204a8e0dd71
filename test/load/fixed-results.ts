/** Makes a result file as a run writes it, with invented figures that are the same every time. */
import type { RunMeasure } from '../../load/measure/meter.ts'
import { RESULTS_FORMAT, type Results, type ScenarioResult } from '../../load/results.ts'
import { listScenarios, type Scenario, SEEDS } from '../../load/scenarios.ts'

export const TARGET_NAMES = ['gatherd', 'fastapi', 'redis', 'null-http']

/** Invents figures that grow with the size of a request and with `factor`. */
export function makeMeasure(scenario: Scenario, factor: number): RunMeasure {
  const cpuUs =
    factor * (15 + scenario.idCount * scenario.dim * (scenario.encoding === 'json' ? 0.02 : 0.002))
  const requestsPerSecond = 700_000 / cpuUs
  const p50Us = Math.round((scenario.connectionCount * 1e6) / requestsPerSecond)
  return {
    p50Us,
    p90Us: p50Us * 2,
    p99Us: p50Us * 5,
    p999Us: p50Us * 9,
    maxUs: p50Us * 14,
    requestCount: Math.round(requestsPerSecond),
    seconds: 1,
    requestsPerSecond,
    rowsPerSecond: requestsPerSecond * scenario.idCount,
    serverCpuPerRequestUs: cpuUs,
    serverCpuPerRowNs: (cpuUs * 1_000) / scenario.idCount,
    serverCores: 0.7,
    serverRssBytes: 6e8,
    clientCpuPerRequestUs: 40,
    clientCores: factor < 1 ? 0.97 : 0.5,
    otherCores: 0.02,
  }
}

function measureAll(scenario: Scenario): ScenarioResult {
  const names = TARGET_NAMES.filter(
    (name) =>
      name === 'gatherd' ||
      (scenario.durability === 'none' && !(name === 'redis' && scenario.encoding === 'json')),
  )
  const measured = names.map((name) => {
    const run = makeMeasure(
      scenario,
      { gatherd: 1, fastapi: 2.4, redis: 7, 'null-http': 0.6 }[name] as number,
    )
    return [name, { median: run, runs: [run, run] }]
  })
  return { ...scenario, measured: Object.fromEntries(measured) }
}

/** The results of a full run against two comparisons. */
export function makeResults(): Results {
  const scenarios = listScenarios(false).map(measureAll)
  const upload = {
    table: 'load64',
    rowCount: 1_000_000,
    dim: 64,
    durability: 'none',
    seconds: 0.25,
    bytesPerSecond: 1.024e9,
  }
  return {
    format: RESULTS_FORMAT,
    madeAt: '2026-11-22T18:54:00.000Z',
    seconds: 412,
    machine: { cpu: 'A <fast> & "quoted" CPU', coreCount: 2, memoryBytes: 25e9, kernel: 'Linux 6.1' },
    versions: { gatherd: '0.1.0', node: 'v26.10.0', autocannon: '9.0.0' },
    commit: '0123456789+',
    method: {
      quick: false,
      rowCount: 1_000_000,
      repeatCount: 3,
      warmupSeconds: 0.25,
      windowSeconds: 1,
      zipfExponent: 1.05,
      seeds: SEEDS,
      placement: 'The client has a <core> of its own',
    },
    targets: [
      {
        name: 'gatherd',
        note: 'this repository',
        versions: 'gatherd 0.1.0, Node 26.10.0',
        role: 'gatherd',
        uploads: [upload],
        rssPeakBytes: 9e8,
      },
      {
        name: 'fastapi',
        note: 'FastAPI over NumPy',
        versions: 'Python 3.11.7, numpy 2.4.6',
        role: 'peer',
        uploads: [{ ...upload, bytesPerSecond: 6e8 }],
        rssPeakBytes: 8e8,
      },
      {
        name: 'redis',
        note: 'a key a row',
        versions: 'Redis 7.0.15',
        role: 'peer',
        uploads: [],
        rssPeakBytes: 9e8,
      },
      {
        name: 'null-http',
        note: 'the floor',
        versions: 'Node 26.10.0',
        role: 'floor',
        uploads: [],
        rssPeakBytes: 1e8,
      },
    ],
    skipped: [{ name: 'other', reason: 'not <installed>' }],
    scenarios,
    openLoop: scenarios
      .filter(({ openLoop }) => openLoop)
      .map((scenario) => ({
        scenarioId: scenario.id,
        ratePerSecond: 2_500,
        measured: Object.fromEntries(
          Object.entries(scenario.measured).map(([name, { median }]) => {
            const run = { ...median, unsentCount: 0 }
            return [name, { median: run, runs: [run] }]
          }),
        ),
      })),
  }
}
