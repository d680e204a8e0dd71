/** Failpoints: named places at which a test kills the process, to prove that recovery works from there. */
import { assert } from '../core/assert.ts'

/**
 * Places at which a test can kill the process as `kill -9` would. Each is between two steps that a crash may
 * separate. In production none is armed, and each costs a comparison.
 */
export const FAILPOINTS = [
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
  'update:committed',
  'update:half-visible',
  'update:visible',
  'snapshot:listed',
  'version:written',
  'catalog:changed',
  'publish:done',
  'forget:begun',
  'forget:done',
  'drain:begun',
] as const

export type Failpoint = (typeof FAILPOINTS)[number]

let armed: Failpoint | null = null
let passesLeft = 0

/**
 * Arms `name`, or `name:n` to die at its n-th pass; null disarms. Throws on an unknown name, because a test
 * that waits for a place that does not exist would prove nothing.
 */
export const setFailpoint = (name: string | null): void => {
  if (name === null) {
    armed = null
    return
  }
  const count = /:(\d+)$/.exec(name)
  const place = count === null ? name : name.slice(0, count.index)
  assert(FAILPOINTS.includes(place as Failpoint), `there is no failpoint ${place}`)
  armed = place as Failpoint
  passesLeft = count === null ? 1 : Number(count[1])
}

/** Kills the process here if this failpoint is armed. */
export const failpoint = (name: Failpoint): void => {
  if (name === armed && --passesLeft === 0) process.kill(process.pid, 'SIGKILL')
}
