/** A worker thread that writes rows without a pause, so that a test can look for torn rows. */

import { workerData } from 'node:worker_threads'
import { instantiateKernels } from '../../src/kernels/table.ts'
import { createArenaMemory } from '../../src/kernels/memories.ts'

/**
 * The data of the thread. It sets `control[0]` to 1 when it writes; the test sets `control[1]` to 1 to end
 * it.
 */
export interface WriterData {
  table: WebAssembly.Memory
  rowCount: number
  rowBytes: number
  control: Int32Array
}

/** Writes all rows repeatedly, each time with one 16-bit pattern in all of every row. */
const writeRows = ({ table, rowCount, rowBytes, control }: WriterData): void => {
  const arena = createArenaMemory(rowCount * rowBytes + 65_536)
  const kernels = instantiateKernels(table, arena)
  new Int32Array(arena.buffer, 64, rowCount).set(Array.from({ length: rowCount }, (_, row) => row))
  const rows = new Uint16Array(arena.buffer, 32_768, (rowCount * rowBytes) / 2)
  for (let round = 0; Atomics.load(control, 1) === 0; round++) {
    rows.fill(0x3c00 + (round & 0x3ff))
    kernels.scatter(64, rowCount, 32_768, 0, rowCount, rowBytes)
    Atomics.store(control, 0, 1)
  }
}

writeRows(workerData as WriterData)
