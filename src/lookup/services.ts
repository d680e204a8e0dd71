import { LIMITS } from '../core/limits.ts'
import { instantiateJsonKernels } from '../kernels/print-floats.ts'
import { PRINT_TABLES_BYTES } from '../kernels/print-tables.ts'
import { Arena } from '../tables/arena.ts'
import { ArenaShare } from '../tables/arena-share.ts'
import type { ComputePool } from '../workers/pool.ts'
import { ResponseBuffers } from './buffers.ts'
import type { LookupServices } from './lookup.ts'

/** The arena, printer and buffers of a thread that answers lookups, and takes updates. `pool` null: it gathers everything itself. */
export const createLookupServices = (pool: ComputePool | null): LookupServices => {
  const arena = new Arena(LIMITS.lookupBytesInFlightMax)
  // Held for the arena's whole life.
  const tables = arena.reserve(PRINT_TABLES_BYTES)
  return {
    arena,
    updateBodies: new ArenaShare(arena, LIMITS.updateBytesInFlightMax),
    answers: new ArenaShare(arena, LIMITS.answerBytesInFlightMax),
    buffers: new ResponseBuffers(LIMITS.responseBytesIdleMax),
    printer: instantiateJsonKernels(arena.memory, tables.at),
    pool,
  }
}
