/** Records of committed uploads, which answer a repeated commit. */
import { rename, rm, stat } from 'node:fs/promises'
import { syncDirectoryAsync } from '../../system/disk.ts'
import { ignoreMissing, readJson, writeDurably } from './disk.ts'
import { writtenAt } from './idle.ts'
import {
  type CommittedTable,
  hiddenPath,
  isUploadId,
  recordPath,
  type Staging,
  type UploadState,
} from './layout.ts'

const FORMAT = 1

type StoredRecord = Pick<UploadState, 'upload' | 'parts'> & {
  format: number
  committed: (Omit<CommittedTable, 'revision'> & { revision?: number }) | null
}

/**
 * Records the answer to a commit, which is on disk when this resolves. From then on the upload is no longer
 * open.
 */
export const writeRecord = async (
  staging: Staging,
  { upload, parts, committed }: Omit<UploadState, 'expiresAt'>,
): Promise<void> => {
  const aside = hiddenPath(staging)
  const partRecords = parts.map(({ part, bytes, sha256 }) => ({ part, bytes, sha256 }))
  const record: StoredRecord = { format: FORMAT, upload, parts: partRecords, committed }
  await writeDurably(aside, JSON.stringify(record))
  await rename(aside, recordPath(staging, upload.id))
  await syncDirectoryAsync(staging.directory)
}

/** Reads a committed upload while its record exists; undefined if there is none for this table and id. */
export const readRecord = async (
  staging: Staging,
  table: string,
  id: string,
): Promise<UploadState | undefined> => {
  if (!isUploadId(id)) return undefined
  const path = recordPath(staging, id)
  const record = (await readJson(path)) as StoredRecord | undefined
  const written = await stat(path).catch(ignoreMissing)
  if (written === undefined || record?.format !== FORMAT || record.upload.table !== table) return undefined
  const expiresAt = Math.floor(writtenAt(staging, written.mtimeMs)) + staging.limits.uploadRememberedMsMax
  const { upload, parts } = record
  const committed = record.committed && { ...record.committed, revision: record.committed.revision ?? 0 }
  return expiresAt > Date.now() ? { upload, parts, expiresAt, committed } : undefined
}

/** Removes the record of a committed upload. */
export const removeRecord = (staging: Staging, id: string): Promise<void> =>
  rm(recordPath(staging, id), { force: true })
