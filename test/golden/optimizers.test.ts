import { describe, expect, test } from 'vitest'
import { completeOptimizer } from '../../src/optimizers/complete.ts'
import { beginBuild } from '../../src/writer/lifecycle/table-model.ts'
import type { ShownUpdate } from '../../src/writer/updates/update.ts'
import { instantiateApplyKernels } from '../../src/kernels/apply.ts'
import { instantiateUpdateSourceKernels } from '../../src/kernels/update-source.ts'
import { makeReferenceUpdateSourceKernels } from '../../src/kernels/reference/update-source.ts'
import { makeReferenceSteps } from '../../src/kernels/reference/optimizer.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { commitAside, updateAside } from '../helpers/aside.ts'
import { expectNumbers, flatten, type GoldenCase, type GoldenStep, type Nested, readSuite } from './golden.ts'

const arena = new Arena(1024 * 1024)
const SIDES = {
  kernels: {
    steps: instantiateApplyKernels(arena.memory),
    updateSource: instantiateUpdateSourceKernels(arena.memory, arena.memory),
  },
  references: {
    steps: makeReferenceSteps(arena.memory.buffer),
    updateSource: makeReferenceUpdateSourceKernels(arena.memory.buffer, arena.memory.buffer),
  },
}

/** The cases without refusals, because a refusal happens before any kernel runs. */
const cases = readSuite('optimizers').filter(({ steps }) =>
  steps?.every(({ expect_error: refusal }) => refusal === undefined),
)

type Side = (typeof SIDES)['kernels']

/** The arrays of a step lie at the end of the arena, as if an HTTP worker had read them into it. */
const [INDICES_AT, VALUES_AT] = [arena.bytesMax - 128 * 1024, arena.bytesMax - 64 * 1024]

const toUpdate = ({ route, request = {} }: GoldenStep, { updateSource: kernels }: Side): ShownUpdate => {
  const indices = flatten(request.indices as Nested)
  const values = flatten((request.gradients ?? request.values) as Nested)
  arena.int32.set(indices, INDICES_AT / 4)
  arena.float32.set(values, VALUES_AT / 4)
  const { int32, float32 } = arena
  const places = {
    indicesAt: INDICES_AT,
    indexCount: indices.length,
    valuesAt: VALUES_AT,
    valueCount: values.length,
  }
  return {
    name: 'golden',
    operation: route === 'gradients' ? 'gradients' : (request.op as 'set' | 'add'),
    source: { updateSource: { int32, float32, kernels }, ...places },
    learningRate: request.learning_rate as number | undefined,
    precondition: {},
  }
}

/** Runs the steps of a case without HTTP, and returns the final rows and sequence. */
const run = (golden: GoldenCase, side: Side): { sequence: number; rows: number[] } => {
  const { rows, dim, values, settings = {} } = golden.table ?? expect.unreachable()
  const { optimizer, ...others } = settings as { optimizer?: Parameters<typeof completeOptimizer>[0] }
  const complete = { ...others, ...(optimizer && { optimizer: completeOptimizer(optimizer) }) }
  const memory = new TableMemory(64 * 1024 * 1024)
  const build = beginBuild(
    new Map(),
    memory,
    'v1',
    { name: 'golden', rows, dim, dtype: 'float32', settings: complete, precondition: {} },
    0,
  )
  const stored = new Float32Array(build.handle.segments[0].memory.buffer, ROWS_AT, rows * dim)
  stored.set(flatten(values))
  const table = commitAside(build)
  for (const step of golden.steps ?? []) {
    const { sequence, rowsUpdated } = updateAside(
      { memory, arena, kernels: side.steps, nowMs: 1 },
      table,
      toUpdate(step, side),
    )
    expect({ sequence, rows_updated: rowsUpdated }).toMatchObject(step.expect ?? {})
  }
  return { sequence: table.current.table.readSequence(), rows: Array.from(stored) }
}

describe.each(Object.entries(SIDES))('Golden suite optimizers by the %s alone', (_name, side) => {
  test.each(cases)('$name', (golden) => {
    expect(golden.table?.dtype).toBe('float32')
    const { sequence, rows } = run(golden, side)
    if (golden.expect?.sequence !== undefined) expect(sequence).toBe(golden.expect.sequence)
    expectNumbers(rows, flatten(golden.expect?.table_after ?? expect.unreachable()), golden)
  })
})

test('The kernels and their references compute the same bits', () => {
  for (const golden of cases)
    expect(run(golden, SIDES.kernels).rows, golden.name).toEqual(run(golden, SIDES.references).rows)
})
