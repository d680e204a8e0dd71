import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import type { Dtype } from '../../src/core/types.ts'
import { instantiateKernels, type RowFormat, type TableKernels } from '../../src/kernels/table.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { rowBytes } from '../../src/layout/table-layout.ts'
import type { WriterData } from './torn-writer.ts'

const PAGE = 65_536
const ROW_COUNT = 8
const POSITION_COUNT = 64
const IDS_AT = 64
const OUT_AT = 4096
const KINDS: { dtype: Dtype; format: RowFormat; dim: number }[] = [
  { dtype: 'float32', format: 'stored', dim: 256 },
  { dtype: 'float16', format: 'float32', dim: 512 },
  { dtype: 'bfloat16', format: 'float32', dim: 512 },
]

/**
 * The reads go on until the unchecked control has seen torn rows, without which the test would prove nothing.
 */
const ROUNDS_MIN = 300
const ROUNDS_MAX = 100_000

const countTorn = (values: Float32Array, dim: number): number => {
  let torn = 0
  for (let row = 0; row < POSITION_COUNT; row++) {
    const rowValues = values.subarray(row * dim, (row + 1) * dim)
    // Written numbers are positive, and the arena was filled with negative ones.
    if (!rowValues.every((value) => value > 0 && value === rowValues[0])) torn++
  }
  return torn
}

interface Counts {
  unchecked: number
  checked: number
  rounds: number
}

const readRows = (
  kernels: TableKernels,
  arena: WebAssembly.Memory,
  { dtype, format, dim }: (typeof KINDS)[0],
  control: Int32Array,
): Counts => {
  const values = new Float32Array(arena.buffer, OUT_AT, POSITION_COUNT * dim)
  const counts = { unchecked: 0, checked: 0, rounds: 0 }
  while (counts.rounds < ROUNDS_MAX && (counts.unchecked === 0 || counts.rounds < ROUNDS_MIN)) {
    counts.rounds++
    kernels.gather(format, dtype, IDS_AT, POSITION_COUNT, OUT_AT, 0, 0, ROW_COUNT, dim)
    counts.unchecked += countTorn(values, dim)
    values.fill(-1)
    for (let done = 0; done < POSITION_COUNT; ) {
      done = kernels.gatherChecked(format, dtype, IDS_AT, done, POSITION_COUNT, OUT_AT, 0, 0, ROW_COUNT, dim)
      if (done < POSITION_COUNT) Atomics.wait(control, 2, 0, 1)
    }
    counts.checked += countTorn(values, dim)
  }
  return counts
}

describe('while another thread writes', () => {
  test.each(KINDS)(
    'a checked gather of $dtype as $format returns no torn row, and an unchecked one does',
    async (kind) => {
      const table = createTableMemory(PAGE)
      const arena = createArenaMemory(16 * PAGE)
      const kernels = instantiateKernels(table, arena)
      const ids = new Int32Array(arena.buffer, IDS_AT, POSITION_COUNT)
      for (let i = 0; i < POSITION_COUNT; i++) ids[i] = (i * 5) % ROW_COUNT
      const control = new Int32Array(new SharedArrayBuffer(12))
      const workerData: WriterData = {
        table,
        rowCount: ROW_COUNT,
        rowBytes: rowBytes(kind.dim, kind.dtype),
        control,
      }
      const writer = new Worker(new URL('./torn-writer.ts', import.meta.url), { workerData })
      const ended = once(writer, 'exit')
      await once(writer, 'online')
      while (Atomics.load(control, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1))
      const counts = readRows(kernels, arena, kind, control)
      Atomics.store(control, 1, 1)
      expect(await ended).toEqual([0])
      expect(counts.checked).toBe(0)
      expect(counts.unchecked).toBeGreaterThan(0)
    },
  )
})
