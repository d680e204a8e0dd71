/** Begins, finds, lists and deletes uploads. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { refuse } from '../../core/errors.ts'
import { quoteText } from '../../formats/scanner.ts'
import {
  checkFreeSpace,
  ignoreMissing,
  isMissing,
  readJson,
  systemCode,
  workOnDisk,
  writeDurably,
} from './disk.ts'
import { lastActivity } from './idle.ts'
import {
  currentParts,
  hiddenPath,
  isUploadId,
  listPartFiles,
  newUploadId,
  parseRecordName,
  type Staging,
  type Upload,
  UPLOAD_FILE,
  uploadPath,
  type UploadSpecification,
  type UploadState,
} from './layout.ts'
import { readRecord, removeRecord } from './records.ts'

const FORMAT = 1

/**
 * Begins an upload. When `uploadTableCountMax` of the table or `uploadCountMax` in all are open, the oldest
 * of these without activity for `uploadYieldMsMin` is deleted; without one, it refuses OVERLOADED. Refuses
 * BODY_TOO_LARGE above `uploadStagedBytesMax`, and DISK_FULL when the disk has no room for the announced
 * bytes.
 */
export const createUpload = async (
  staging: Staging,
  specification: UploadSpecification,
): Promise<UploadState> => {
  const { directory, limits } = staging
  const { table, bytes } = specification
  if (bytes !== null && bytes > limits.uploadStagedBytesMax) {
    refuse(
      'BODY_TOO_LARGE',
      `all uploads together have at most ${limits.uploadStagedBytesMax} bytes, but this one is ` +
        `announced with ${bytes}`,
    )
  }
  const id = newUploadId()
  return workOnDisk(async () => {
    // Not with its parents: a data directory that was removed must not come back empty.
    await mkdir(directory, { mode: 0o700 }).catch(ignoreExisting)
    await checkFreeSpace(staging, bytes ?? 0)
    await makeRoom(staging, table)
    const aside = hiddenPath(staging)
    await mkdir(aside, { mode: 0o700 })
    await writeDurably(
      join(aside, UPLOAD_FILE),
      JSON.stringify({ format: FORMAT, createdAt: Date.now(), ...specification }),
    )
    await rename(aside, uploadPath(staging, id))
    // The new upload is counted too, so that of several that begin at once, none finds too few.
    const full = findFull(limits, await listOpen(staging), table, 1)
    if (full !== null) {
      await removeDirectory(staging, id)
      refuseFull(full)
    }
    return findUpload(staging, table, id)
  })
}

const ignoreExisting = (error: unknown): void => {
  if (isMissing(error))
    refuse('NOT_READY', 'uploads cannot be staged, because the data directory is missing', { cause: error })
  if (systemCode(error) !== 'EEXIST') throw error
}

interface Counted {
  id: string
  /** undefined when a crash left half of it. */
  table: string | undefined
  idleMs: number
}

/** The uploads among which one has to give way to a new one, and how people name them. */
interface Full {
  among: Counted[]
  limit: string
}

const listOpen = async (staging: Staging): Promise<Counted[]> => {
  const counted: Counted[] = []
  for (const id of await listOpenIds(staging)) {
    const directory = uploadPath(staging, id)
    const activeAt = await lastActivity(staging, directory)
    if (activeAt === undefined) continue
    const idleMs = Date.now() - activeAt
    counted.push({ id, table: (await readUpload(directory, id))?.table, idleMs })
  }
  return counted
}

/** Finds a limit that leaves no room for one more upload; `newCount` says how many new ones are counted. */
const findFull = (
  { uploadTableCountMax, uploadCountMax }: Staging['limits'],
  open: Counted[],
  table: string,
  newCount: 0 | 1,
): Full | null => {
  const ofTable = open.filter((one) => one.table === table)
  if (ofTable.length - newCount >= uploadTableCountMax)
    return { among: ofTable, limit: `${uploadTableCountMax} open uploads of table ${quoteText(table)}` }
  return open.length - newCount >= uploadCountMax
    ? { among: open, limit: `${uploadCountMax} open uploads` }
    : null
}

/** Deletes uploads that give way to a new one of this table. Refuses OVERLOADED when none does. */
const makeRoom = async (staging: Staging, table: string): Promise<void> => {
  for (;;) {
    const full = findFull(staging.limits, await listOpen(staging), table, 0)
    if (full === null) return
    const [oldest] = full.among.toSorted((a, b) => b.idleMs - a.idleMs)
    if (oldest.idleMs < staging.limits.uploadYieldMsMin) refuseFull(full)
    await removeDirectory(staging, oldest.id)
  }
}

const refuseFull = ({ limit }: Full): never =>
  refuse('OVERLOADED', `there are ${limit}; commit or delete one first (GET /v1/uploads lists all)`, {
    headers: { 'Retry-After': '60' },
  })

/** Finds an upload, open or committed. Refuses UPLOAD_NOT_FOUND, also when it belongs to another table. */
export const findUpload = (staging: Staging, table: string, id: string): Promise<UploadState> =>
  workOnDisk(async () => {
    const state = (await readRecord(staging, table, id)) ?? (await readOpenState(staging, table, id))
    // The upload may have been committed between the two reads.
    return state ?? (await readRecord(staging, table, id)) ?? refuseUnknown(table, id)
  })

/**
 * Finds an open upload, to add a part to it. Refuses UPLOAD_NOT_FOUND, and INVALID_REQUEST when it has been
 * committed.
 */
export const findOpenUpload = (staging: Staging, table: string, id: string): Promise<Upload> =>
  workOnDisk(async () => {
    const record = await readRecord(staging, table, id)
    if (record !== undefined)
      refuse('INVALID_REQUEST', 'the upload has been committed, so nothing can be added to it')
    return (await readOpen(staging, table, id))?.upload ?? refuseUnknown(table, id)
  })

/** Lists the open uploads of a table, or of all tables, oldest first. */
export const listUploads = async (staging: Staging, table?: string): Promise<UploadState[]> => {
  const states = await workOnDisk(async () => {
    const ids = await listOpenIds(staging)
    return Promise.all(ids.map((id) => readOpenState(staging, table, id)))
  })
  return states.filter((state) => state !== undefined).sort((a, b) => a.upload.createdAt - b.upload.createdAt)
}

/** Deletes an upload and its parts. Refuses UPLOAD_NOT_FOUND. */
export const removeUpload = async (staging: Staging, table: string, id: string): Promise<void> => {
  const { committed } = await findUpload(staging, table, id)
  await workOnDisk(async () => {
    // The directory goes first, because otherwise a committed upload would be open again for a moment.
    await removeDirectory(staging, id)
    if (committed !== null) await removeRecord(staging, id)
  })
}

/**
 * Lists the ids of all open uploads, with expired ones that were not swept yet. The list is empty when
 * nothing was ever staged.
 */
export const listOpenIds = async ({ directory }: Staging): Promise<string[]> => {
  const names = (await readdir(directory).catch(ignoreMissing)) ?? []
  const committed = new Set(names.map(parseRecordName))
  return names.filter((name) => isUploadId(name) && !committed.has(name))
}

/**
 * Removes the directory of an upload, which disappears at once for other readers. Does nothing if it does not
 * exist.
 */
export const removeDirectory = async (staging: Staging, id: string): Promise<void> => {
  const aside = hiddenPath(staging)
  try {
    await rename(uploadPath(staging, id), aside)
  } catch (error) {
    if (isMissing(error)) return
    throw error
  }
  await rm(aside, { recursive: true, force: true })
}

type OpenUpload = Pick<UploadState, 'upload' | 'expiresAt'>

const readOpen = async (
  staging: Staging,
  table: string | undefined,
  id: string,
): Promise<OpenUpload | undefined> => {
  if (!isUploadId(id)) return undefined
  const directory = uploadPath(staging, id)
  const activeAt = await lastActivity(staging, directory)
  const upload = await readUpload(directory, id)
  if (activeAt === undefined || upload === undefined) return undefined
  if (table !== undefined && upload.table !== table) return undefined
  const expiresAt = Math.floor(activeAt) + staging.limits.uploadAgeMsMax
  return expiresAt > Date.now() ? { upload, expiresAt } : undefined
}

const readOpenState = async (
  staging: Staging,
  table: string | undefined,
  id: string,
): Promise<UploadState | undefined> => {
  const open = await readOpen(staging, table, id)
  const files = open && (await listPartFiles(uploadPath(staging, id)).catch(ignoreMissing))
  return files && { ...open, parts: currentParts(files), committed: null }
}

/**
 * Reads the specification of an upload. Returns undefined when a crash left half of the file, or a later
 * gatherd wrote it. Such an upload counts as missing and is removed when it is old.
 */
const readUpload = async (directory: string, id: string): Promise<Upload | undefined> => {
  const stored = (await readJson(join(directory, UPLOAD_FILE))) as
    | (Omit<Upload, 'id'> & { format: number })
    | undefined
  if (stored?.format !== FORMAT) return undefined
  const { format: _, ...upload } = stored
  return { id, ...upload }
}

const refuseUnknown = (table: string, id: string): never =>
  refuse('UPLOAD_NOT_FOUND', `table ${quoteText(table)} has no upload ${quoteText(id)}`)
