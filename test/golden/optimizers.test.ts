import { describe, expect, test } from 'vitest'
import { completeOptimizer } from '../../src/http/schemas/optimizer.ts'
import { beginBuild } from '../../src/keeper/tables.ts'
import type { UpdateArguments } from '../../src/keeper/protocol.ts'
import { instantiateApplyKernels } from '../../src/kernels/apply.ts'
import { makeReferenceCombiners } from '../../src/kernels/reference/combine.ts'
import { makeReferenceSteps } from '../../src/kernels/reference/optimizer.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/tables/layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { commitAside, updateAside } from '../helpers/aside.ts'
import { expectNumbers, flatten, type GoldenCase, type GoldenStep, type Nested, readSuite } from './golden.ts'

const arena = new Arena(1024 * 1024)
const SIDES = {
  kernels: instantiateApplyKernels(arena.memory),
  references: { ...makeReferenceSteps(arena.memory.buffer), ...makeReferenceCombiners(arena.memory.buffer) },
}

/** Those whose every step is taken: what is refused is refused before any kernel. */
const cases = readSuite('optimizers').filter(({ steps }) => steps?.every(({ expect_error: refusal }) => refusal === undefined))

const toUpdate = ({ route, request = {} }: GoldenStep): UpdateArguments => ({
  name: 'golden',
  operation: route === 'gradients' ? 'gradients' : (request.op as 'set' | 'add'),
  indices: Int32Array.from(flatten(request.indices as Nested)),
  values: Float32Array.from(flatten((request.gradients ?? request.values) as Nested)),
  learningRate: request.learning_rate as number | undefined,
  precondition: {},
})

/** The steps of a case, without HTTP: the table afterwards, and the sequence. */
const run = (golden: GoldenCase, kernels: (typeof SIDES)['kernels']): { sequence: number; rows: number[] } => {
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
    const { sequence, rowsUpdated } = updateAside({ memory, arena, kernels, nowMs: 1 }, table, toUpdate(step))
    expect({ sequence, rows_updated: rowsUpdated }).toMatchObject(step.expect ?? {})
  }
  return { sequence: table.current.table.readSequence(), rows: Array.from(stored) }
}

describe.each(Object.entries(SIDES))('Golden suite optimizers by the %s alone', (_side, kernels) => {
  test.each(cases)('$name', (golden) => {
    expect(golden.table?.dtype).toBe('float32')
    const { sequence, rows } = run(golden, kernels)
    if (golden.expect?.sequence !== undefined) expect(sequence).toBe(golden.expect.sequence)
    expectNumbers(rows, flatten(golden.expect?.table_after ?? expect.unreachable()), golden)
  })
})

test('The kernels and their references leave the same bits', () => {
  for (const golden of cases) expect(run(golden, SIDES.kernels).rows, golden.name).toEqual(run(golden, SIDES.references).rows)
})
