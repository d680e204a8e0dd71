/**
 * Splits the time of one small update: gradients of 1,024 Zipf ids of 1,000,000 x 64 float32, shown in an
 * HTTP worker's arena, one thread, without HTTP, messages and journal. Each kernel is timed by itself; the
 * rest is JavaScript, and the clock.
 *
 *     node load/bench/update-steps.ts [rounds] [sgd,adagrad,..]
 *
 * It prints microseconds an update, medians of rounds of 512 updates.
 */
import type { Optimizer } from '../../src/core/types.ts'
import { computeUpdate } from '../../src/writer/updates/apply.ts'
import { openUpdateSource } from '../../src/writer/updates/update-source.ts'
import { PendingRows } from '../../src/writer/updates/pending.ts'
import { beginBuild, type TableModel } from '../../src/writer/lifecycle/table-model.ts'
import { finishBuild, planReplacement } from '../../src/writer/lifecycle/versions.ts'
import { makeVisible } from '../../src/writer/updates/visible.ts'
import { instantiateApplyKernels } from '../../src/kernels/apply.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { makeIds } from '../zipf.ts'

const [ROWS, DIM, COUNT, BATCH_COUNT] = [1_000_000, 64, 1_024, 512]
/**
 * The arena holds the bodies of this many requests at once, so that a body has left the core's own cache when
 * it is read.
 */
const BODY_COUNT = 8
const BODY_BYTES = COUNT * (DIM + 1) * 4
const ROUND_COUNT = Number(process.argv[2] ?? 8)
const WANTED = process.argv[3]?.split(',') ?? ['sgd', 'adagrad']

const adagrad = { learning_rate: 0.01, initial_accumulator: 0.1, epsilon: 1e-10, epsilon_inside_sqrt: false }
const OPTIMIZERS: Optimizer[] = [
  { kind: 'sgd', learning_rate: 0.01 },
  { kind: 'adagrad', ...adagrad },
  { kind: 'adam', learning_rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  { kind: 'momentum', learning_rate: 0.01, momentum: 0.9, nesterov: false },
  { kind: 'rowwise_adagrad', ...adagrad },
]

const memory = new TableMemory(2 ** 33)
const arena = new Arena(2 ** 26)
const httpWorker = new Arena(2 ** 25)
const updateSource = openUpdateSource(httpWorker.memory, arena)
const ids = makeIds({
  distribution: 'zipf',
  rowCount: ROWS,
  count: COUNT * BATCH_COUNT,
  seed: 1,
  exponent: 1,
})

/** Milliseconds of a round, by kernel. */
type Spent = Map<string, number>

/** Lets each function add its time to what was `spent` under its name. */
const measureEach = (functions: object, owner: string, spent: Spent): void => {
  const table = functions as Record<string, (...values: unknown[]) => unknown>
  for (const [name, run] of Object.entries(table)) {
    table[name] = (...values) => {
      const start = performance.now()
      const answer = run(...values)
      spent.set(owner + name, (spent.get(owner + name) ?? 0) + performance.now() - start)
      return answer
    }
  }
}

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

const kernels = instantiateApplyKernels(arena.memory)
const spent: Spent = new Map()
measureEach(kernels, '', spent)
measureEach(updateSource.kernels, '', spent)

const update = (table: TableModel, batch: number): void => {
  const valuesAt = 64 + (batch % BODY_COUNT) * BODY_BYTES
  const indicesAt = valuesAt + COUNT * DIM * 4
  httpWorker.int32.set(ids.subarray(batch * COUNT, (batch + 1) * COUNT), indicesAt / 4)
  const source = { updateSource, indicesAt, indexCount: COUNT, valuesAt, valueCount: COUNT * DIM }
  const start = performance.now()
  const context = { memory, arena, kernels, nowMs: 0 }
  const planned = computeUpdate(
    context,
    table,
    { name: table.name, operation: 'gradients', precondition: {}, source },
    new PendingRows(),
  )
  const computed = performance.now()
  if (planned !== null) makeVisible(arena, planned, [])
  table.current.planned = null
  spent.set('computed', (spent.get('computed') ?? 0) + computed - start)
  spent.set('made visible', (spent.get('made visible') ?? 0) + performance.now() - computed)
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]

const measure = (optimizer: Optimizer): Record<string, string> => {
  const table = makeTable(optimizer)
  measureEach(table.current.table.kernels(arena.memory)[0], 'rows ', spent)
  const rounds: Spent[] = []
  for (let round = 0; round <= ROUND_COUNT; round++) {
    spent.clear()
    for (let batch = 0; batch < BATCH_COUNT; batch++) {
      update(table, batch)
      // The first update makes the state.
      if (round + batch === 0 && table.current.state !== null) {
        measureEach(table.current.state.rows.kernels(arena.memory)[0], 'state ', spent)
      }
    }
    // In the first round the engine compiles, and state is touched for the first time.
    if (round > 0) rounds.push(new Map(spent))
  }
  const names = [...rounds[0].keys()]
  const middle = names.map((name) => [name, median(rounds.map((one) => one.get(name) ?? 0))] as const)
  return Object.fromEntries(middle.map(([name, ms]) => [name, ((ms * 1000) / BATCH_COUNT).toFixed(1)]))
}

httpWorker.float32.forEach((_, i, numbers) => (numbers[i] = ((i * 104_729) % 10_007) / 10_007 - 0.5))
for (const optimizer of OPTIMIZERS.filter(({ kind }) => WANTED.includes(kind))) {
  console.log(optimizer.kind)
  console.table([measure(optimizer)])
}
