/**
 * Measures the price of durability: updates a second of 1, 64 and 1,024 rows x 64 (SGD, safetensors, Zipf
 * ids), 1 and 32 clients, in the modes `disk`, `os` and `none`, and the same steps by a Lua function in Redis
 * with appendfsync `always`, `everysec` and without a file. Medians of interleaved repeats.
 *
 *     node load/bench/updates.ts [repeats] [seconds]
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { driveClosedLoop } from '../wires/closed-loop.ts'
import { median, type PreparedRequest, type RunMeasure } from '../measure/meter.ts'
import { startRedis, startRedisEverysec, startRedisFsync } from '../peers/peer-redis.ts'
import { placeProcesses } from '../measure/placement.ts'
import { makeIdPool, planRequests } from '../wires/requests.ts'
import { makeTable } from '../rows.ts'
import { listScenarios, type Scenario, type TablePlan } from '../scenarios.ts'
import { startGatherd, type Target } from '../peers/target.ts'

const ROWS = 100_000
const DIM = 64
const [REPEATS, SECONDS] = [3, 1].map((fallback, i) => Number(process.argv[2 + i] ?? fallback))

interface Contender {
  name: string
  target: Target
  plan: TablePlan
}

const findScenario = (): Scenario => {
  const found = listScenarios(false).find(
    ({ kind, encoding }) => kind === 'gradients' && encoding === 'safetensors',
  )
  if (found === undefined) throw new Error('there is a scenario of updates')
  return found
}

const basis = findScenario()

const prepare = ({ target, plan }: Contender, idCount: number): PreparedRequest[] => {
  const scenario = { ...basis, table: plan.name, idCount }
  return planRequests(scenario, makeIdPool('zipf', ROWS))
    .slice(0, 256)
    .map((one) => ({
      bytes: target.wire.encodeRequest(scenario, one),
      answerBytesMin: 0,
      answerBytesMax: 1_000,
    }))
}

const startAll = async (outPath: string, prefix: string[]): Promise<Contender[]> => {
  const gatherd = await startGatherd(outPath, prefix)
  const contenders: Contender[] = (['disk', 'os', 'none'] as const).map((mode) => ({
    name: `gatherd ${mode}`,
    target: gatherd,
    // The plans of `npm run load` know two modes; this table is made with another.
    plan: {
      name: mode === 'disk' ? 'durable64' : `update64${mode}`,
      dim: DIM,
      durability: mode as TablePlan['durability'],
    },
  }))
  for (const start of [startRedisFsync, startRedisEverysec, startRedis]) {
    const target = await start({ outPath, prefix, python: 'python3', pattern: /redis/ }).catch(
      (error: Error) => error,
    )
    if (target instanceof Error) {
      process.stdout.write(`left out: ${target.message}\n`)
      continue
    }
    const isSynced = start === startRedisFsync
    contenders.push({
      name: target.name,
      target,
      plan: { name: isSynced ? 'durable64' : 'update64', dim: DIM, durability: isSynced ? 'disk' : 'none' },
    })
  }
  return contenders
}

const main = async (): Promise<void> => {
  const outPath = join(import.meta.dirname, '../out')
  mkdirSync(outPath, { recursive: true })
  const { prefix, apart, note } = placeProcesses(true)
  process.stdout.write(`${note}\n`)
  const contenders = await startAll(outPath, prefix)
  try {
    for (const { target, plan } of contenders)
      await target.wire.createTable(target.url, plan, makeTable(ROWS, DIM, 1))
    process.stdout.write(
      'rows  clients  server            updates/s      rows/s   CPU us   p50 us    p99 us\n',
    )
    for (const idCount of [1, 64, 1_024]) {
      for (const connectionCount of [1, 32]) {
        const runs = new Map<string, RunMeasure[]>()
        for (let repeat = 0; repeat < REPEATS; repeat++) {
          for (const contender of contenders) {
            const { url, pid, wire } = contender.target
            const requests = prepare(contender, idCount)
            const loop = {
              url,
              pid,
              wire,
              requests,
              connectionCount,
              rowCount: idCount,
              warmupSeconds: 0.3,
              seconds: SECONDS,
              polls: apart,
            }
            runs.set(contender.name, [...(runs.get(contender.name) ?? []), await driveClosedLoop(loop)])
          }
        }
        for (const [name, measured] of runs) print(idCount, connectionCount, name, measured)
      }
    }
  } finally {
    for (const target of new Set(contenders.map((contender) => contender.target))) await target.stop()
  }
}

const print = (idCount: number, connectionCount: number, name: string, runs: RunMeasure[]): void => {
  const of = (pick: (run: RunMeasure) => number): string => median(runs.map(pick)).toFixed(0)
  const columns = [
    of((run) => run.requestsPerSecond).padStart(11),
    of((run) => run.rowsPerSecond).padStart(12),
    of((run) => run.serverCpuPerRequestUs ?? Number.NaN).padStart(9),
    of((run) => run.p50Us).padStart(9),
    of((run) => run.p99Us).padStart(10),
  ]
  process.stdout.write(
    `${String(idCount).padEnd(6)}${String(connectionCount).padEnd(9)}${name.padEnd(16)}${columns.join('')}\n`,
  )
}

await main()
