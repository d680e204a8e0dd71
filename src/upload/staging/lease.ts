import { readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { refuse } from '../../core/errors.ts'
import { createFile, isMissing, systemCode } from './disk.ts'
import { commitName, parseCommitName } from './layout.ts'

/** The right to commit an upload. */
export interface Lease {
  release(): Promise<void>
}

const RENEWALS = 5

/**
 * Takes the right to commit the upload in `directory` for `leaseMs`, and keeps renewing it until released.
 * Refuses IDEMPOTENCY_IN_FLIGHT while another request has it, in whichever HTTP worker; one that died
 * holds it no longer than `leaseMs`.
 *
 * A lease is a file whose mtime is renewed. One that is out of date is not removed, which two could do at
 * once and each take the other's away, but overtaken by the next generation: of those who try, one creates
 * that file.
 */
export const takeLease = async (directory: string, leaseMs: number): Promise<Lease> => {
  const generation = Math.max(0, ...(await readdir(directory)).map(parseCommitName))
  if (generation > 0 && (await isHeld(join(directory, commitName(generation)), leaseMs))) refuseHeld()
  const path = join(directory, commitName(generation + 1))
  try {
    await (await createFile(path)).close()
  } catch (error) {
    if (systemCode(error) === 'EEXIST') refuseHeld()
    throw error
  }
  const timer = setInterval(() => {
    const now = new Date()
    // When the upload is gone so is the lease.
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

const isHeld = async (path: string, leaseMs: number): Promise<boolean> => {
  try {
    return (await stat(path)).mtimeMs + leaseMs > Date.now()
  } catch (error) {
    // Released since it was listed: numbers begin anew, and the one to try next is not ours to guess.
    if (isMissing(error)) return true
    throw error
  }
}

const refuseHeld = (): never =>
  refuse('IDEMPOTENCY_IN_FLIGHT', 'the upload is being committed', { headers: { 'Retry-After': '1' } })
