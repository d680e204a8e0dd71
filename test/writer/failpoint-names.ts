/**
 * Lists the failpoints by the process that passes them, which is where a test kills it. `name:2` stands for
 * the second pass.
 */
import type { Failpoint } from '../../src/storage/failpoints.ts'

/** The failpoints of the store and its snapshots, which test/storage/failpoint-child.ts passes. */
export const STORE_FAILPOINTS = [
  'store:created',
  'store:opened',
  'commit:begun',
  'commit:written',
  'commit:durable',
  'commit-os:written',
  'commit-os:done',
  'checkpoint:begun',
  'checkpoint:done',
  'prune:begun',
  'prune:done',
  'discard:begun',
  'discard:done',
  'snapshot:created',
  'snapshot:half-written',
  'snapshot:written',
  'snapshot:synced',
  'snapshot:renamed',
  'snapshot:directory-synced',
  'sweep:removed',
] as const satisfies Failpoint[]

/** The failpoints of the writer, which failpoint-child.ts passes, with the passes at which it is killed. */
export const WRITER_FAILPOINTS = {
  'update:committed': [1, 2, 4],
  'update:half-visible': [1, 3, 5],
  'update:visible': [1, 4, 6],
  'snapshot:listed': [1, 3],
  'version:written': [1, 3, 4],
  // The passes are uploads, a rollback, a change of settings, a replacement and a deletion.
  'catalog:changed': [1, 3, 4, 5, 6, 7],
  'publish:done': [1, 3, 4, 5, 6, 7],
  'forget:begun': [1, 5, 6],
  'forget:done': [1, 5, 6],
} as const satisfies Partial<Record<Failpoint, number[]>>

/** The failpoints that only a whole gatherd process passes. */
export const PROCESS_FAILPOINTS = ['drain:begun'] as const satisfies Failpoint[]
