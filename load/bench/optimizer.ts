/**
 * Measures a step of training: gradients of 100,000 random rows of 1,000,000 x 64 float32, in updates as
 * large as the service takes, one thread, without HTTP and journal; beside torch's optimizers on sparse
 * gradients (one thread, the same ids and gradients) when Python has it: in the same batches, and all rows in
 * one step.
 *
 *     node load/bench/optimizer.ts [python3]      milliseconds, best and median of interleaved passes
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { LIMITS } from '../../src/core/limits.ts'
import type { Optimizer } from '../../src/core/types.ts'
import { computeUpdate } from '../../src/writer/updates/apply.ts'
import { PendingRows } from '../../src/writer/updates/pending.ts'
import { beginBuild, type TableModel } from '../../src/writer/lifecycle/table-model.ts'
import { finishBuild, planReplacement } from '../../src/writer/lifecycle/versions.ts'
import { makeVisible } from '../../src/writer/updates/visible.ts'
import { instantiateApplyKernels } from '../../src/kernels/apply.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { makeIds } from '../zipf.ts'

const ROWS = 1_000_000
const DIM = 64
const COUNT = 100_000
const BATCH = LIMITS.updateRowCountMax
const PASS_COUNT = 15
/** How much a weight may differ from torch after all passes. */
const TOLERANCE = 1e-5

const adagrad = { learning_rate: 0.01, initial_accumulator: 0, epsilon: 1e-10, epsilon_inside_sqrt: false }
/** First the optimizers that torch has for sparse gradients, with its defaults; then those that it lacks. */
const OPTIMIZERS: Optimizer[] = [
  { kind: 'adagrad', ...adagrad },
  { kind: 'sgd', learning_rate: 0.01 },
  { kind: 'adam', learning_rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  { kind: 'momentum', learning_rate: 0.01, momentum: 0.9, nesterov: false },
  { kind: 'rowwise_adagrad', ...adagrad },
]
const IN_TORCH = ['adagrad', 'sgd', 'adam']

const memory = new TableMemory(2 ** 33)
const arena = new Arena(LIMITS.updateBytesInFlightMax * 4)
const kernels = instantiateApplyKernels(arena.memory)
const gradients = Float32Array.from(
  { length: COUNT * DIM },
  (_, i) => ((i * 104_729) % 10_007) / 10_007 - 0.5,
)

/** Makes the numbers of peers/optimizer.py. */
const makeTable = (optimizer: Optimizer): TableModel => {
  const begin = {
    name: optimizer.kind,
    rows: ROWS,
    dim: DIM,
    dtype: 'float32' as const,
    settings: { optimizer },
    precondition: {},
  }
  const build = beginBuild(new Map(), memory, optimizer.kind, begin, 0)
  const numbers = new Float32Array(build.handle.segments[0].memory.buffer, ROWS_AT, ROWS * DIM)
  for (let place = 0; place < numbers.length; place++)
    numbers[place] = ((place * 7919) % 10_007) / 10_007 - 0.5
  return planReplacement(build, finishBuild(build, undefined, { step: 0, nowMs: 0 }), undefined, 1).table
}

interface Measured {
  ms: number
  /** The sum of the weights of the rows that took the step. */
  sum: number
}

const train = (table: TableModel, ids: Int32Array): Measured => {
  const context = { memory, arena, kernels, nowMs: 0 }
  const start = performance.now()
  for (let first = 0; first < COUNT; first += BATCH) {
    const indices = ids.subarray(first, first + BATCH)
    const values = gradients.subarray(first * DIM, (first + BATCH) * DIM)
    const update = { name: table.name, operation: 'gradients' as const, indices, values, precondition: {} }
    const planned = computeUpdate(context, table, update, new PendingRows())
    if (planned !== null) makeVisible(arena, planned, [])
    table.current.planned = null
  }
  const ms = performance.now() - start
  const numbers = new Float32Array(table.current.handle.segments[0].memory.buffer, ROWS_AT, ROWS * DIM)
  let sum = 0
  for (const row of ids) for (let k = row * DIM; k < (row + 1) * DIM; k++) sum += numbers[k]
  return { ms, sum }
}

interface Torch {
  version: string
  train: (kind: string, batch: number, ids: Int32Array) => Promise<Measured>
  close: () => void
}

/** A Python process that runs one pass in torch on request; null without torch. */
const startTorch = async (python: string, folder: string): Promise<Torch | null> => {
  const [gradientsPath, idsPath] = [join(folder, 'gradients'), join(folder, 'ids')]
  writeFileSync(gradientsPath, gradients)
  const program = new URL('../peers/optimizer.py', import.meta.url).pathname
  const child = spawn(python, [program, String(ROWS), String(DIM), gradientsPath], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.once('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const first = await lines.next()
  if (first.done) return null
  return {
    version: first.value,
    train: async (kind, batch, ids) => {
      writeFileSync(idsPath, ids)
      child.stdin.write(`${kind} ${batch} ${idsPath}\n`)
      const [ms, sum] = ((await lines.next()).value ?? 'NaN NaN').split(' ').map(Number)
      return { ms, sum }
    },
    close: () => child.stdin.end(),
  }
}

const summarise = (passes: Measured[]): { best: number; median: number } => {
  const ascending = passes.map(({ ms }) => ms).sort((a, b) => a - b)
  return { best: ascending[0], median: ascending[ascending.length >> 1] }
}

const runScenario = async (
  optimizer: Optimizer,
  torch: Torch | null,
): Promise<Record<string, number | string>> => {
  const { kind } = optimizer
  const table = makeTable(optimizer)
  const ids = makeIds({
    distribution: 'uniform',
    rowCount: ROWS,
    count: COUNT * (PASS_COUNT + 1),
    seed: 1,
    exponent: 1,
  })
  const ours: Measured[] = []
  const batched: Measured[] = []
  const whole: Measured[] = []
  for (let pass = 0; pass <= PASS_COUNT; pass++) {
    const some = Int32Array.from(ids.subarray(pass * COUNT, (pass + 1) * COUNT))
    ours.push(train(table, some))
    if (torch === null || !IN_TORCH.includes(kind)) continue
    batched.push(await torch.train(kind, BATCH, some))
    whole.push(await torch.train(kind, COUNT, some))
    const difference = Math.abs(ours[pass].sum - batched[pass].sum)
    if (difference > TOLERANCE * COUNT * DIM)
      throw new Error(`${kind}: the rows of pass ${pass} add up to ${difference} more or less in torch`)
  }
  // The first pass allocates state, and the engine compiles.
  const [gatherd, theirs, atOnce] = [ours, batched, whole].map((passes) =>
    passes.length === 0 ? null : summarise(passes.slice(1)),
  )
  const row = {
    optimizer: kind,
    best: gatherd?.best.toFixed(0) ?? '',
    median: gatherd?.median.toFixed(0) ?? '',
  }
  if (gatherd === null || theirs === null || atOnce === null) return row
  return {
    ...row,
    'torch best': theirs.best.toFixed(0),
    'torch median': theirs.median.toFixed(0),
    'torch, one step': atOnce.median.toFixed(0),
    'torch / gatherd': (Math.min(theirs.median, atOnce.median) / gatherd.median).toFixed(2),
  }
}

const folder = mkdtempSync(join(tmpdir(), 'gatherd-optimizer-'))
const torch = await startTorch(process.argv[2] ?? 'python3', folder)
try {
  console.log(torch === null ? 'No torch here.' : `torch ${torch.version}`)
  const results = []
  for (const optimizer of OPTIMIZERS) results.push(await runScenario(optimizer, torch))
  console.table(results)
} finally {
  torch?.close()
  rmSync(folder, { recursive: true })
}
