/**
 * Measures a pooled id: bags of 50 ids, sum, over 1,000,000 x 64, one thread, without HTTP, beside torch's
 * embedding_bag (one thread, the same ids) when Python has it.
 *
 *     node load/bench/bags.ts [python3]      ns per id, best and median of interleaved passes
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Dtype } from '../../src/core/types.ts'
import { Arena } from '../../src/tables/arena.ts'
import { BAG_SCRATCH_BYTES, type BagJob, poolRows } from '../../src/tables/bags.ts'
import { rowBytes, ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { TableReader } from '../../src/tables/table-reader.ts'
import { type Distribution, makeIds } from '../zipf.ts'

const ROWS = 1_000_000
const DIM = 64
const BAG = 50
const BAG_COUNT = 400
const COUNT = BAG * BAG_COUNT
/** These passes do not count: the engine is still compiling. */
const WARM_COUNT = 10
const PASS_COUNT = WARM_COUNT + 31
/** Sums in another order, or in 16 bits, differ by less than this. */
const TOLERANCE = 0.01

interface Scenario {
  dtype: Dtype
  distribution: Distribution
  weighted: boolean
}

const SCENARIOS: Scenario[] = [
  { dtype: 'float32', distribution: 'uniform', weighted: false },
  { dtype: 'float32', distribution: 'zipf', weighted: false },
  { dtype: 'float32', distribution: 'uniform', weighted: true },
  { dtype: 'float16', distribution: 'uniform', weighted: false },
  { dtype: 'bfloat16', distribution: 'uniform', weighted: false },
  { dtype: 'int8', distribution: 'uniform', weighted: false },
]

const memory = new TableMemory(2 ** 31)
const arena = new Arena(64 * 1024 * 1024)

/** The numbers of bags.py; int8 rows are bytes with a scale of 1/256. */
const makeTable = (dtype: Dtype): TableReader => {
  const bytes = rowBytes(DIM, dtype)
  const { segments } = memory.allocate(ROWS, bytes)
  const { buffer } = segments[0].memory
  const numberAt = (place: number): number => ((place * 7919) % 10_007) / 10_007 - 0.5
  const upper = new Float32Array(1)
  const halves = new Uint16Array(upper.buffer, 2, 1)
  const view = new DataView(buffer)
  for (let place = 0; place < ROWS * DIM; place++) {
    const number = numberAt(place)
    const at =
      ROWS_AT + Math.floor(place / DIM) * bytes + ((place % DIM) * (bytes - (dtype === 'int8' ? 8 : 0))) / DIM
    if (dtype === 'float32') view.setFloat32(at, number, true)
    else if (dtype === 'float16') view.setFloat16(at, number, true)
    else if (dtype === 'int8') view.setUint8(at, number * 256 + 128)
    else {
      upper[0] = number
      view.setUint16(at, halves[0], true)
    }
  }
  for (let row = 0; dtype === 'int8' && row < ROWS; row++) {
    view.setFloat32(ROWS_AT + row * bytes + DIM, 1 / 256, true)
    view.setFloat32(ROWS_AT + row * bytes + DIM + 4, -0.5, true)
  }
  return new TableReader({ key: dtype, version: 1, rows: ROWS, dim: DIM, dtype, createdAt: 0, segments })
}

const makeJob = (): BagJob => {
  const idsAt = arena.reserve(COUNT * 4).at
  const offsetsAt = arena.reserve((BAG_COUNT + 1) * 4).at
  const weightsAt = arena.reserve(COUNT * 4).at
  for (let bag = 0; bag <= BAG_COUNT; bag++) arena.int32[offsetsAt / 4 + bag] = bag * BAG
  for (let m = 0; m < COUNT; m++) arena.float32[weightsAt / 4 + m] = (m % 7) / 7
  const rest = {
    fillAt: arena.reserve(DIM * 4).at,
    outAt: arena.reserve(BAG_COUNT * DIM * 4).at,
    scratchAt: arena.reserve(BAG_SCRATCH_BYTES).at,
  }
  return { kind: 'bags', operation: 'sum', bagCount: BAG_COUNT, idsAt, offsetsAt, weightsAt, ...rest }
}

interface Measured {
  ns: number
  sum: number
}

const measure = (reader: TableReader, job: BagJob, ids: Int32Array): Measured => {
  arena.int32.set(ids, job.idsAt / 4)
  const start = performance.now()
  poolRows(reader, arena.memory, job)
  const ns = ((performance.now() - start) * 1e6) / COUNT
  const sum = arena.float32
    .subarray(job.outAt / 4, job.outAt / 4 + BAG_COUNT * DIM)
    .reduce((total, number) => total + number, 0)
  return { ns, sum }
}

type Torch = (scenario: Scenario, ids: Int32Array) => Promise<Measured>

/** A Python process that runs one pass in torch on request; null without torch. */
const startTorch = async (
  python: string,
  folder: string,
): Promise<{ version: string; ask: Torch; close: () => void } | null> => {
  const program = new URL('../peers/bags.py', import.meta.url).pathname
  const child = spawn(python, [program, String(ROWS), String(DIM), String(BAG)], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  child.once('error', () => {})
  child.stdin.on('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const first = await lines.next()
  if (first.done) return null
  const path = join(folder, 'ids')
  return {
    version: first.value,
    ask: async ({ dtype, weighted }, ids) => {
      writeFileSync(path, ids)
      child.stdin.write(`${dtype} ${weighted ? 1 : 0} ${path}\n`)
      const [ns, sum] = ((await lines.next()).value ?? 'NaN NaN').split(' ').map(Number)
      return { ns, sum }
    },
    close: () => child.stdin.end(),
  }
}

const summarise = (passes: Measured[]): [best: number, median: number] => {
  const ascending = passes
    .slice(WARM_COUNT)
    .map(({ ns }) => ns)
    .sort((a, b) => a - b)
  return [ascending[0], ascending[ascending.length >> 1]]
}

const checkSums = (ours: Measured, theirs: Measured, scenario: Scenario): void => {
  if (Math.abs(ours.sum - theirs.sum) < TOLERANCE * COUNT * DIM) return
  throw new Error(`${scenario.dtype}: the bags add up to ${ours.sum}, those of torch to ${theirs.sum}`)
}

const runScenario = async (
  scenario: Scenario,
  reader: TableReader,
  job: BagJob,
  torch: Torch | undefined,
): Promise<Record<string, number | string>> => {
  const { dtype, distribution, weighted } = scenario
  const ids = makeIds({ distribution, rowCount: ROWS, count: COUNT * PASS_COUNT, seed: 1, exponent: 1 })
  const ours: Measured[] = []
  const theirs: Measured[] = []
  for (let pass = 0; pass < PASS_COUNT; pass++) {
    const part = ids.slice(pass * COUNT, (pass + 1) * COUNT)
    ours.push(measure(reader, weighted ? job : { ...job, weightsAt: 0 }, part))
    if (torch === undefined || dtype === 'int8') continue
    const answer = await torch(scenario, part)
    // This torch is too old for the dtype.
    if (Number.isNaN(answer.sum)) continue
    checkSums(ours[pass], answer, scenario)
    theirs.push(answer)
  }
  const [best, median] = summarise(ours)
  const row = {
    table: dtype,
    ids: distribution,
    weights: weighted ? 'yes' : 'no',
    best: best.toFixed(1),
    median: median.toFixed(1),
  }
  if (theirs.length === 0) return row
  const [torchBest, torchMedian] = summarise(theirs)
  const ratio = (torchMedian / median).toFixed(2)
  return {
    ...row,
    'torch best': torchBest.toFixed(1),
    'torch median': torchMedian.toFixed(1),
    'torch / gatherd': ratio,
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gatherd-bags-'))
const torch = await startTorch(process.argv[2] ?? 'python3', folder)
try {
  console.log(torch?.version ?? 'No torch here.')
  const tables = new Map<Dtype, TableReader>()
  const job = makeJob()
  const results = []
  for (const scenario of SCENARIOS) {
    const reader = tables.get(scenario.dtype) ?? makeTable(scenario.dtype)
    tables.set(scenario.dtype, reader)
    results.push(await runScenario(scenario, reader, job, torch?.ask))
  }
  console.table(results)
} finally {
  torch?.close()
  rmSync(folder, { recursive: true })
}
