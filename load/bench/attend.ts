/**
 * Measures the search for the best rows of a table: top 10 of 1,000,000 x 64 float32 by dot product, for 1
 * query and for 32, in one thread and in two, beside numpy (A @ q, argpartition, one thread) when Python has
 * it. There is no HTTP; the answer is encoded as safetensors.
 *
 *     node load/bench/attend.ts [python3]      milliseconds, the median of interleaved passes
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { attend } from '../../src/attend/attend.ts'
import { LIMITS } from '../../src/core/limits.ts'
import type { Dtype, Settings } from '../../src/core/types.ts'
import type { Metric } from '../../src/kernels/attend.ts'
import { createLookupServices, type LookupServices } from '../../src/lookup/lookup.ts'
import { rowBytes, ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import type { TableEntry } from '../../src/tables/registry.ts'
import { TableReader } from '../../src/tables/table-reader.ts'
import { ComputePool } from '../../src/workers/pool.ts'

const ROWS = 1_000_000
const DIM = 64
const K = 10
const PASS_COUNT = 9
const THREAD_COUNT = 2

const SETTINGS: Settings = {
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: { kind: 'sgd', learning_rate: 0.01 },
  durability: 'none',
  keep_versions: 1,
}

const memory = new TableMemory(2 ** 31)

/** A table of numbers from -1 to 1. */
const makeTable = (dtype: Dtype): TableEntry => {
  const { segments } = memory.allocate(ROWS, rowBytes(DIM, dtype))
  const count = ROWS * DIM
  const { buffer } = segments[0].memory
  if (dtype === 'float32')
    new Float32Array(buffer, ROWS_AT, count).forEach((_, i, all) => (all[i] = Math.random() * 2 - 1))
  else if (dtype === 'int8')
    new Uint8Array(buffer, ROWS_AT, ROWS * (DIM + 8)).forEach((_, i, all) => (all[i] = (i * 37) & 63))
  else new Float16Array(buffer, ROWS_AT, count).forEach((_, i, all) => (all[i] = Math.random() * 2 - 1))
  const handle = { key: dtype, version: 1, rows: ROWS, dim: DIM, dtype, createdAt: 0, segments }
  const record = {
    name: dtype,
    settings: SETTINGS,
    createdAt: 0,
    changedAt: 0,
    revision: 0,
    held: new Map(),
    current: 1,
    versions: [handle],
    adapters: [],
  }
  const current = new TableReader(handle)
  return { record, current, versions: new Map([[1, current]]), adapters: new Map() }
}

const ask = async (
  services: LookupServices,
  entry: TableEntry,
  count: number,
  metric: Metric,
): Promise<number> => {
  const queries = Float32Array.from({ length: count * DIM }, () => Math.random() * 2 - 1)
  const start = performance.now()
  const request = { queries, shape: [count, DIM], options: { top_k: K, metric } }
  const { body } = await attend(services, entry, entry.current, request, 'safetensors', () => {})
  body.release()
  return performance.now() - start
}

/** A Python process that runs one pass in numpy on request; null without numpy. */
const startNumpy = async (
  python: string,
): Promise<{ version: string; ask: (count: number) => Promise<number>; close: () => void } | null> => {
  const program = new URL('../peers/attend.py', import.meta.url).pathname
  const env = {
    PATH: process.env.PATH,
    OMP_NUM_THREADS: '1',
    OPENBLAS_NUM_THREADS: '1',
    MKL_NUM_THREADS: '1',
  }
  const child = spawn(python, [program, String(ROWS), String(DIM), String(K)], {
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  child.once('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const first = await lines.next()
  if (first.done) return null
  return {
    version: first.value,
    ask: async (count) => {
      child.stdin.write(`${count}\n`)
      return Number.parseFloat((await lines.next()).value ?? 'NaN')
    },
    close: () => child.stdin.end(),
  }
}

const median = (numbers: number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]

const pool = new ComputePool(THREAD_COUNT, LIMITS.computeQueueDepthMax)
const one = createLookupServices(null)
const many = createLookupServices(pool)
const tables = Object.fromEntries(
  (['float32', 'float16', 'bfloat16', 'int8'] as const).map((dtype) => [dtype, makeTable(dtype)]),
)
const numpy = await startNumpy(process.argv[2] ?? 'python3')
if (numpy === null) console.log('No numpy here: its column stays empty.')
const variants: Record<string, (count: number) => Promise<number>> = {
  'float32 dot': (count) => ask(one, tables.float32, count, 'dot'),
  'float32 dot, two threads': (count) => ask(many, tables.float32, count, 'dot'),
  ...(numpy && { [`numpy ${numpy.version} dot`]: numpy.ask }),
  'float32 cosine': (count) => ask(one, tables.float32, count, 'cosine'),
  'float32 l2': (count) => ask(one, tables.float32, count, 'l2'),
  'float16 dot': (count) => ask(one, tables.float16, count, 'dot'),
  'bfloat16 dot': (count) => ask(one, tables.bfloat16, count, 'dot'),
  'int8 dot': (count) => ask(one, tables.int8, count, 'dot'),
}
const results: Record<string, Record<string, number>> = {}
for (const count of [1, 32]) {
  const passes = Object.fromEntries(Object.keys(variants).map((name) => [name, [] as number[]]))
  for (let pass = 0; pass <= PASS_COUNT; pass++) {
    for (const [name, run] of Object.entries(variants)) {
      const ms = await run(count)
      // The first pass compiles the kernels.
      if (pass > 0) passes[name].push(ms)
    }
  }
  for (const [name, ms] of Object.entries(passes))
    (results[name] ??= {})[`${count} ${count === 1 ? 'query' : 'queries'}, ms`] = Number(
      median(ms).toFixed(1),
    )
}
console.table(results)
numpy?.close()
await pool.close()
