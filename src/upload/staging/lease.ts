/** The lease that lets one HTTP worker at a time commit an upload. */
import { readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { refuse } from '../../core/errors.ts'
import { createFile, isMissing, systemCode } from './disk.ts'
import { commitName, parseCommitName } from './layout.ts'

/** The exclusive right to commit an upload. */
export interface Lease {
  release(): Promise<void>
}

const RENEWALS = 5

/**
 * Takes the lease on the upload in `directory` for `leaseMs`, and renews it until it is released. Refuses
 * IDEMPOTENCY_IN_FLIGHT while any HTTP worker holds it. The lease of one that died expires after `leaseMs`.
 *
 * A lease is a file whose mtime is renewed. An expired one is not removed, because two workers could do that
 * at once and each remove the other's new lease. Instead, the next generation replaces it: of the workers
 * that try, only one can create that file.
 */
export const takeLease = async (directory: string, leaseMs: number): Promise<Lease> => {
  const generation = Math.max(0, ...(await readdir(directory)).map(parseCommitName))
  if (generation > 0 && (await isActive(join(directory, commitName(generation)), leaseMs))) refuseActive()
  const path = join(directory, commitName(generation + 1))
  try {
    await (await createFile(path)).close()
  } catch (error) {
    if (systemCode(error) === 'EEXIST') refuseActive()
    throw error
  }
  const timer = setInterval(() => {
    const now = new Date()
    // A lease that cannot be renewed has gone together with its upload.
    utimes(path, now, now).catch(() => null)
  }, leaseMs / RENEWALS)
  timer.unref()
  return {
    release: async () => {
      clearInterval(timer)
      await rm(path, { force: true })
    },
  }
}

const isActive = async (path: string, leaseMs: number): Promise<boolean> => {
  try {
    return (await stat(path)).mtimeMs + leaseMs > Date.now()
  } catch (error) {
    // The lease was released after it was listed. Generations now begin with 1 again, so the next number is
    // unknown, and the client has to try again.
    if (isMissing(error)) return true
    throw error
  }
}

const refuseActive = (): never =>
  refuse('IDEMPOTENCY_IN_FLIGHT', 'the upload is being committed', { headers: { 'Retry-After': '1' } })
