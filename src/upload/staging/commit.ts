/** Commits a staged upload: its parts become a table. */
import { readdir, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { refuse } from '../../core/errors.ts'
import { createFile, isMissing, systemCode, workOnDisk } from './disk.ts'
import {
  commitName,
  type CommittedTable,
  currentParts,
  listPartFiles,
  parseCommitName,
  type Staging,
  type Upload,
  uploadPath,
} from './layout.ts'
import { readRecord, writeRecord } from './records.ts'
import { checkComplete, readParts } from './staged-body.ts'
import { findUpload, removeDirectory } from './uploads.ts'

/** Stores a staged body of `bytes` bytes as a table. Each chunk is valid until the next one is read. */
export type StoreBody = (
  upload: Upload,
  body: AsyncIterable<Uint8Array>,
  bytes: number,
) => Promise<CommittedTable>

/**
 * Stores the parts of an upload as a table by `store`, records the result and removes the parts. A repeated
 * commit, whose response was lost, gets the recorded result. After a refusal everything stays in place.
 * Refuses UPLOAD_NOT_FOUND, IDEMPOTENCY_IN_FLIGHT while another commit runs, what {@link checkComplete} and
 * {@link readParts} refuse, and what `store` refuses.
 */
export const commitUpload = (
  staging: Staging,
  table: string,
  id: string,
  store: StoreBody,
): Promise<CommittedTable> =>
  workOnDisk(async () => {
    const { upload, committed } = await findUpload(staging, table, id)
    if (committed !== null) return committed
    const directory = uploadPath(staging, id)
    try {
      const lease = await takeLease(directory, staging.limits.uploadCommitLeaseMs)
      try {
        return await commitParts(staging, upload, directory, store)
      } finally {
        await lease.release()
      }
    } catch (error) {
      // Another commit may have ended since the upload was found, and its result is the answer.
      const state = await readRecord(staging, table, id)
      if (state === undefined || state.committed === null) throw error
      return state.committed
    }
  })

const commitParts = async (
  staging: Staging,
  upload: Upload,
  directory: string,
  store: StoreBody,
): Promise<CommittedTable> => {
  const parts = currentParts(await listPartFiles(directory))
  const bytes = checkComplete(upload, parts)
  const committed = await store(upload, readParts(directory, parts), bytes)
  await writeRecord(staging, { upload, parts, committed })
  await removeDirectory(staging, upload.id)
  return committed
}

/** The lease that lets one HTTP worker at a time commit an upload. */

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

const isHeld = async (path: string, leaseMs: number): Promise<boolean> => {
  try {
    return (await stat(path)).mtimeMs + leaseMs > Date.now()
  } catch (error) {
    // The lease was released after it was listed. Generations now begin anew, so the next number is unknown
    // and the client has to try again.
    if (isMissing(error)) return true
    throw error
  }
}

const refuseHeld = (): never =>
  refuse('IDEMPOTENCY_IN_FLIGHT', 'the upload is being committed', { headers: { 'Retry-After': '1' } })
