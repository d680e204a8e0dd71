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

/** Makes a table of a staged body: of `bytes` bytes, in chunks that are valid until the next one. */
export type StoreBody = (
  upload: Upload,
  body: AsyncIterable<Uint8Array>,
  bytes: number,
) => Promise<CommittedTable>

/**
 * Makes a table of the parts of an upload by `store`, removes them, and remembers the result: a client that
 * asks again, because the answer was lost, gets the same. Whatever is refused, everything stays in place.
 * Refuses UPLOAD_NOT_FOUND, IDEMPOTENCY_IN_FLIGHT while another commit runs, as {@link checkComplete} and
 * {@link readParts}, and what `store` refuses.
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
      // Another commit may have ended between the two looks; then that was the answer.
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
