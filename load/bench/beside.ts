/**
 * Measures how updates and snapshots disturb lookups, and snapshots updates: latency of 64-id lookups at a
 * fixed rate (open loop, counted from the moment each was due) alone, beside 500 more lookups a second,
 * beside 500 updates a second of 64 rows in modes `none` and `disk`, and beside those while gatherd writes
 * snapshots one after another; and the latency of those updates. The table is 1,000,000 x 64 float32; figures
 * are medians of interleaved repeats.
 *
 *     node load/bench/beside.ts [repeats] [lookups a second] [seconds]
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { httpWire } from '../wires/http-wire.ts'
import type { PreparedRequest } from '../measure/meter.ts'
import { median } from '../measure/meter.ts'
import { driveOpenLoop, type OpenLoopMeasure } from '../wires/open-loop.ts'
import { encodeBody, encodeRequest, headersOf, makeIdPool, pathOf, planRequests } from '../wires/requests.ts'
import { listScenarios, type Scenario } from '../scenarios.ts'
import { placeProcesses } from '../measure/placement.ts'
import { startGatherd } from '../peers/target.ts'

const ROWS = 1_000_000
const DIM = 64
const UPDATES_PER_SECOND = 500
const [REPEATS, LOOKUPS_PER_SECOND, SECONDS] = [3, 1_000, 3].map((fallback, i) =>
  Number(process.argv[2 + i] ?? fallback),
)
/** The second phase shows the cost of more requests of any kind. */
const PHASES = [
  'alone',
  'as many lookups',
  'updates, none',
  'updates, disk',
  'updates, disk, snapshots',
] as const
type Phase = (typeof PHASES)[number]

interface Beside {
  url: string
  pid: number | undefined
  /** null means a stream of lookups. */
  table: string | null
  withSnapshots: boolean
}

const basis = listScenarios(false)
const lookups = basis.find(
  ({ kind, encoding, dim, idCount }) =>
    kind === 'lookup' && encoding === 'binary' && dim === DIM && idCount === 64,
)
const updates = basis.find(
  ({ kind, encoding, idCount }) => kind === 'gradients' && encoding === 'safetensors' && idCount === 64,
)

const prepare = (
  url: string,
  scenario: Scenario,
  table: string,
  answerBytes: [number, number],
): PreparedRequest[] =>
  planRequests(scenario, makeIdPool('zipf', ROWS))
    .slice(0, 512)
    .map((plan) => ({
      bytes: encodeRequest(
        new URL(url).host,
        pathOf({ ...scenario, table }),
        headersOf(scenario),
        encodeBody(scenario, plan),
      ),
      answerBytesMin: answerBytes[0],
      answerBytesMax: answerBytes[1],
    }))

const prepareLookups = (url: string): PreparedRequest[] => {
  if (lookups === undefined) throw new Error('there is a scenario of lookups')
  return prepare(url, lookups, 'read', [64 * DIM * 4, 64 * DIM * 4])
}

/**
 * The client polls in one thread for everything: a second thread would delay the first by more than the
 * server does.
 */
const drive = (
  url: string,
  pid: number | undefined,
  requests: PreparedRequest[],
  ratePerSecond: number,
): Promise<OpenLoopMeasure> =>
  driveOpenLoop({
    url,
    wire: httpWire,
    pid,
    requests,
    connectionCount: 32,
    rowCount: 64,
    ratePerSecond,
    warmupSeconds: 1,
    seconds: SECONDS,
    polls: true,
  })

const runBeside = async ({
  url,
  pid,
  table,
  withSnapshots,
}: Beside): Promise<OpenLoopMeasure & { snapshotCount: number }> => {
  if (updates === undefined) throw new Error('there is a scenario of updates')
  let isDone = false
  const snapshots = (async () => {
    let count = 0
    while (withSnapshots && !isDone) {
      const response = await fetch(`${url}/v1/snapshots`, { method: 'POST' })
      count += ((await response.json()) as { snapshots: unknown[] }).snapshots.length
    }
    return count
  })()
  const requests = table === null ? prepareLookups(url) : prepare(url, updates, table, [1, 1_000])
  const measured = await drive(url, pid, requests, UPDATES_PER_SECOND)
  isDone = true
  return { ...measured, snapshotCount: await snapshots }
}

const put = async (url: string, table: string, durability: string): Promise<void> => {
  const response = await fetch(`${url}/v1/tables/${table}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ rows: ROWS, dim: DIM, durability, initializer: { kind: 'uniform', seed: 1 } }),
  })
  if (response.status !== 201) throw new Error(await response.text())
}

const main = async (): Promise<void> => {
  const outPath = join(import.meta.dirname, '../out')
  mkdirSync(outPath, { recursive: true })
  const { prefix, note } = placeProcesses(true)
  process.stdout.write(`${note}\n`)
  const target = await startGatherd(outPath, prefix)
  const { url, pid } = target
  try {
    await put(url, 'read', 'none')
    await put(url, 'none', 'none')
    await put(url, 'disk', 'disk')
    const requests = prepareLookups(url)
    const found = new Map<
      Phase,
      { lookups: OpenLoopMeasure[]; updates: OpenLoopMeasure[]; snapshots: number }
    >()
    for (let repeat = 0; repeat < REPEATS; repeat++) {
      for (const phase of PHASES) {
        const table = phase === 'as many lookups' ? null : phase === 'updates, none' ? 'none' : 'disk'
        const data = { url, pid, table, withSnapshots: phase.endsWith('snapshots') }
        const beside = phase === 'alone' ? null : runBeside(data)
        const measured = await drive(url, pid, requests, LOOKUPS_PER_SECOND)
        const other = await beside
        const so = found.get(phase) ?? { lookups: [], updates: [], snapshots: 0 }
        so.lookups.push(measured)
        if (other !== null) {
          so.updates.push(other)
          so.snapshots += other.snapshotCount
        }
        found.set(phase, so)
      }
    }
    print(found)
  } finally {
    await target.stop()
  }
}

const print = (
  found: Map<Phase, { lookups: OpenLoopMeasure[]; updates: OpenLoopMeasure[]; snapshots: number }>,
): void => {
  const ms = (runs: OpenLoopMeasure[], key: 'p50Us' | 'p99Us' | 'p999Us'): string =>
    runs.length === 0 ? '' : (median(runs.map((run) => run[key])) / 1_000).toFixed(2)
  process.stdout.write(
    `${LOOKUPS_PER_SECOND} lookups a second of 64 ids, ${UPDATES_PER_SECOND} updates a second of 64 ` +
      'rows; milliseconds\n',
  )
  process.stdout.write(
    'phase                       lookup p50    p99  p99.9   update p50    p99  p99.9   snapshots\n',
  )
  for (const [phase, { lookups: read, updates: written, snapshots }] of found) {
    const columns = [
      ms(read, 'p50Us'),
      ms(read, 'p99Us'),
      ms(read, 'p999Us'),
      ms(written, 'p50Us'),
      ms(written, 'p99Us'),
      ms(written, 'p999Us'),
    ]
    const widths = [12, 7, 7, 13, 7, 7]
    process.stdout.write(
      phase.padEnd(26) +
        columns.map((text, i) => text.padStart(widths[i])).join('') +
        `${String(snapshots || '').padStart(12)}\n`,
    )
  }
}

await main()
