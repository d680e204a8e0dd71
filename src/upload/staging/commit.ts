/** Commits a staged upload: its parts become a table. */
import { workOnDisk } from './disk.ts'
import { takeLease } from './lease.ts'
import {
  type CommittedTable,
  currentParts,
  listPartFiles,
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
