/** Memories for tests of table kernels: one pair for the kernels, and copies for their references. */

import { instantiateKernels, type TableKernels } from '../../src/kernels/table.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { makeReferenceKernels } from '../../src/kernels/reference/table.ts'

/** Dims that exercise every path of the kernels: below, at and beside the SIMD width, and several blocks. */
export const DIMS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 32, 33, 64, 100, 128, 257, 300]

/**
 * Kernels over shared memories, and their references over copies of them. A test runs both and compares the
 * whole memories, which also proves that neither wrote anywhere else.
 */
export interface Pair {
  kernels: TableKernels
  reference: TableKernels
  table: Uint8Array
  arena: Uint8Array
  /** Views of the kernels' memories. A test that writes to them calls `copy` afterwards. */
  tableView: DataView
  arenaView: DataView
  /** Fills table and arena with bytes that `seed` determines. */
  scramble(seed: number): void
  /** Makes the reference's memories equal to the kernels'. */
  copy(): void
  /** Describes the first difference of the memories, or returns null. */
  difference(): string | null
}

const scrambleWords = (words: Uint32Array, seed: number): void => {
  let state = seed | 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
}

const firstDifference = (name: string, left: Uint8Array, right: Uint8Array): string | null => {
  if (Buffer.compare(left, right) === 0) return null
  const at = left.findIndex((byte, index) => byte !== right[index])
  return `${name} byte ${at}: kernel ${left[at]}, reference ${right[at]}`
}

export const makePair = (tableBytes: number, arenaBytes: number): Pair => {
  const tableMemory = createTableMemory(tableBytes)
  const arenaMemory = createArenaMemory(arenaBytes)
  const table = new Uint8Array(tableMemory.buffer)
  const arena = new Uint8Array(arenaMemory.buffer)
  const referenceTable = new Uint8Array(table.length)
  const referenceArena = new Uint8Array(arena.length)
  return {
    kernels: instantiateKernels(tableMemory, arenaMemory),
    reference: makeReferenceKernels(referenceTable.buffer, referenceArena.buffer),
    table,
    arena,
    tableView: new DataView(table.buffer),
    arenaView: new DataView(arena.buffer),
    scramble(seed) {
      scrambleWords(new Uint32Array(table.buffer), seed)
      scrambleWords(new Uint32Array(arena.buffer), seed ^ 0x5bd1e995)
    },
    copy() {
      referenceTable.set(table)
      referenceArena.set(arena)
    },
    difference: () =>
      firstDifference('table', table, referenceTable) ?? firstDifference('arena', arena, referenceArena),
  }
}
