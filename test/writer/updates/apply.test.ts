import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { Dtype, Optimizer } from '../../../src/core/types.ts'
import { stateInitial } from '../../../src/optimizers/state-tensors.ts'
import { PreImageLog } from '../../../src/writer/updates/pre-images.ts'
import { instantiateApplyKernels } from '../../../src/kernels/apply.ts'
import { Arena } from '../../../src/tables/arena.ts'
import { ROWS_AT } from '../../../src/layout/table-layout.ts'
import { TableMemory } from '../../../src/tables/memory.ts'
import { beginBuild } from '../../../src/writer/lifecycle/table-model.ts'
import { commitAside, updateAside } from '../../helpers/aside.ts'
import { runsOf } from '../../helpers/property-runs.ts'

const arena = new Arena(16 * 1024 * 1024)
const kernels = instantiateApplyKernels(arena.memory)
afterEach(() => expect(arena.reservedBytes, 'the workspace is released').toBe(0))

const adagrad: Optimizer = {
  kind: 'adagrad',
  learning_rate: 0.5,
  initial_accumulator: 2,
  epsilon: 0.5,
  epsilon_inside_sqrt: false,
}

/** Makes a table of zeros that only this thread uses. */
const makeTable = (rows: number, dim: number, dtype: Dtype, optimizer: Optimizer) => {
  const memory = new TableMemory(1024 * 1024 * 1024, 65_536 * 16)
  const begin = { name: 'user', rows, dim, dtype, settings: { optimizer }, precondition: {} }
  const table = commitAside(beginBuild(new Map(), memory, 'v1', begin, 0))
  const update = (
    operation: 'gradients' | 'set' | 'add',
    indices: number[],
    values: Float32Array,
    logs: PreImageLog[] = [],
  ) =>
    updateAside(
      { memory, arena, kernels, nowMs: 1 },
      table,
      { name: 'user', operation, indices: Int32Array.from(indices), values, precondition: {} },
      logs,
    )
  const read = (): number[] =>
    table.current.handle.segments.flatMap(({ memory: { buffer }, rowCount }) =>
      Array.from(
        dtype === 'float16'
          ? new Float16Array(buffer, ROWS_AT, rowCount * dim)
          : new Float32Array(buffer, ROWS_AT, rowCount * dim),
      ),
    )
  return { table, update, read }
}

describe('An update of many rows', () => {
  const f = Math.fround
  /** Applies an update number by number in the order of the contract. Changes `rows` and `state`. */
  const stepRows = (
    rows: Float64Array,
    state: Float64Array,
    indices: number[],
    values: Float32Array,
    store: (value: number) => number,
  ) => {
    const dim = values.length / indices.length
    const sums = new Map<number, Float32Array>()
    indices.forEach((row, i) => {
      const sum = sums.get(row)
      const value = values.subarray(i * dim, (i + 1) * dim)
      if (sum === undefined) sums.set(row, value.slice())
      else value.forEach((one, k) => (sum[k] += one))
    })
    for (const [row, sum] of sums) {
      sum.forEach((g, k) => {
        const at = row * dim + k
        state[at] = f(state[at] + f(g * g))
        rows[at] = store(f(rows[at] - f(f(0.5 * g) / f(f(Math.sqrt(state[at])) + 0.5))))
      })
    }
  }

  test.each(['float32', 'float16'] as const)(
    'is the same whatever blocks its %s rows are computed in',
    (dtype) => {
      const half = new Float16Array(1)
      const store = dtype === 'float16' ? (value: number) => ((half[0] = value), half[0]) : f
      const property = fc.property(
        fc.constantFrom(1, 5, 64, 300),
        fc.integer({ min: 1, max: 700 }),
        fc.integer(),
        (dim, count, seed) => {
          const rows = 1000
          const { update, read } = makeTable(rows, dim, dtype, adagrad)
          const expected = new Float64Array(rows * dim)
          const state = new Float64Array(rows * dim).fill(stateInitial(adagrad))
          for (const salt of [seed, seed + 100]) {
            const indices = Array.from(
              { length: count },
              (_, i) => Math.abs(Math.imul(salt + i, 0x9e3779b1)) % rows,
            )
            const values = Float32Array.from({ length: count * dim }, (_, i) => Math.sin(salt + i))
            expect(update('gradients', indices, values).rowsUpdated).toBe(new Set(indices).size)
            stepRows(expected, state, indices, values, store)
          }
          const rowsNow = Float64Array.from(read())
          // Bytes are compared first, because \`toEqual\` of 300,000 numbers takes seconds.
          if (Buffer.compare(Buffer.from(rowsNow.buffer), Buffer.from(expected.buffer)) !== 0) {
            expect(rowsNow).toEqual(expected)
          }
        },
      )
      fc.assert(property, { numRuns: runsOf({ quick: 8, long: 30 }) })
    },
  )

  test.each(['set', 'add'] as const)(
    'of %s rounds each result to 16 bits as an update of one row does',
    (operation) => {
      const { update, read } = makeTable(600, 3, 'float16', adagrad)
      const indices = Array.from({ length: 1200 }, (_, i) => (i * 7) % 600)
      const values = Float32Array.from({ length: 3600 }, (_, i) => i / 8192)
      update(operation, indices, values)
      const expected = new Float16Array(1800)
      for (let i = 0; i < 600; i++) {
        for (let k = 0; k < 3; k++) {
          const [first, last] = [values[i * 3 + k], values[(i + 600) * 3 + k]]
          expected[indices[i] * 3 + k] = operation === 'set' ? last : f(first + last)
        }
      }
      expect(read()).toEqual(Array.from(expected))
    },
  )
})

describe('The pre-image logs of exports', () => {
  test('receive the earlier rows and the earlier state, each its own, whatever the size of the blocks', () => {
    const [rows, dim] = [300, 256]
    const { table, update } = makeTable(rows, dim, 'float32', adagrad)
    const all = Array.from({ length: rows }, (_, row) => row)
    update('gradients', all.slice(0, 10), new Float32Array(10 * dim).fill(1))
    const { state } = table.current
    const logs = [table.current.table, state?.rows ?? expect.unreachable()].map(
      (source) => new PreImageLog(source, 2 ** 30),
    )
    const strange = new PreImageLog({ rowBytes: dim * 4 }, 2 ** 30)
    update('gradients', all, new Float32Array(rows * dim).fill(1), [...logs, strange])
    const [old, oldState] = logs.map((log) => log.read(0, rows))
    expect(Array.from(old.rows)).toEqual(all)
    const step = Math.fround(-Math.fround(0.5 / Math.fround(Math.fround(Math.sqrt(3)) + 0.5)))
    const firsts = ({ bytes }: { bytes: Uint8Array }) =>
      all.map((row) => new Float32Array(bytes.buffer)[row * dim])
    expect(firsts(old)).toEqual(all.map((row) => (row < 10 ? step : 0)))
    expect(firsts(oldState)).toEqual(all.map((row) => (row < 10 ? 3 : 2)))
    expect(strange.read(0, rows).rows.length).toBe(0)
  })
})

describe('The workspace of an update', () => {
  test('is released after a refusal', () => {
    const { update } = makeTable(2, 1, 'float16', adagrad)
    expect(() => update('set', [0], Float32Array.of(1e9))).toThrowError(
      expect.objectContaining({ code: 'NON_FINITE' }),
    )
    expect(() => update('gradients', [0], Float32Array.of(1e30))).toThrowError(
      expect.objectContaining({ code: 'NON_FINITE' }),
    )
  })

  test('that finds no memory refuses the update and reserves nothing', () => {
    const { update } = makeTable(1000, 1024, 'float32', adagrad)
    const taken = arena.reserve(12 * 1024 * 1024)
    const indices = Array.from({ length: 1000 }, (_, row) => row)
    const run = () => update('gradients', indices, new Float32Array(1000 * 1024))
    expect(run).toThrowError(expect.objectContaining({ code: 'OVERLOADED' }))
    arena.release(taken)
    expect(run().sequence).toBe(1)
  })
})
