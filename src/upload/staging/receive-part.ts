/** Receives one part of an upload and writes it to disk. */
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../../core/assert.ts'
import { refuse } from '../../core/errors.ts'
import { checkDigest } from '../../formats/digest.ts'
import { UploadBody } from '../body.ts'
import { checkFreeSpace, createFile, ignoreMissing, workOnDisk, writeWhole } from './disk.ts'
import {
  countBytes,
  currentParts,
  listPartFiles,
  newIncomingName,
  type PartFile,
  partName,
  type StagedPart,
  type Staging,
  type Upload,
  uploadPath,
} from './layout.ts'
import { listOpenIds } from './uploads.ts'

/** The body of a part. */
export interface PartBody {
  /** Chunks of any size. */
  chunks: AsyncIterable<Uint8Array>
  /** See `Upload.freesChunks`. */
  freesChunks?: boolean
  contentLength?: number
  /** The SHA-256 that the part must have. */
  digest?: Uint8Array
}

/** The number of bytes that a part may have, and the limit behind it. */
interface Room {
  bytes: number
  reason: string
}

/** The free space is checked again after this many bytes, because other writers fill the disk too. */
const CHECK_BYTES = 64 * 1024 * 1024

/**
 * Writes a part to disk chunk by chunk. When it is complete, it replaces an earlier part of its number. Until
 * then, and after any failure, everything stays unchanged.
 *
 * Refuses BODY_TOO_LARGE (for the part, the announced total, or all uploads together), DISK_FULL,
 * DIGEST_MISMATCH, UPLOAD_NOT_FOUND when the upload is removed meanwhile, and whatever the body rejects with.
 */
export const receivePart = (
  staging: Staging,
  upload: Upload,
  part: number,
  body: PartBody,
): Promise<StagedPart> =>
  workOnDisk(async () => {
    const directory = uploadPath(staging, upload.id)
    const announcedBytes = body.contentLength ?? 0
    const room = await measureRoom(staging, upload, part, await listPartFiles(directory))
    checkRoom(room, announcedBytes)
    await checkFreeSpace(staging, announcedBytes)
    const path = join(directory, newIncomingName())
    try {
      const { bytes, sha256 } = await writePart(staging, path, body, room)
      checkDigest('part', Buffer.from(sha256, 'hex'), body.digest)
      const files = await listPartFiles(directory)
      // Other parts may have arrived meanwhile.
      checkRoom(await measureRoom(staging, upload, part, files), bytes)
      return await placePart(directory, path, { part, bytes, sha256 }, files)
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  })

/**
 * Finds the limit that leaves the part the least room. `files` are those of this upload; an earlier part of
 * the same number does not count, because this one replaces it.
 */
const measureRoom = async (
  staging: Staging,
  upload: Upload,
  part: number,
  files: readonly PartFile[],
): Promise<Room> => {
  const { uploadPartBytesMax, uploadStagedBytesMax } = staging.limits
  const siblingBytes = countBytes(currentParts(files).filter((other) => other.part !== part))
  let stagedBytes = siblingBytes
  for (const id of await listOpenIds(staging)) {
    if (id === upload.id) continue
    // An upload that is removed meanwhile takes no room.
    stagedBytes += countBytes(
      currentParts((await listPartFiles(uploadPath(staging, id)).catch(ignoreMissing)) ?? []),
    )
  }
  const rooms: Room[] = [
    { bytes: uploadPartBytesMax, reason: `a part has at most ${uploadPartBytesMax} bytes` },
    {
      bytes: (upload.bytes ?? Infinity) - siblingBytes,
      reason:
        `the upload was announced with ${upload.bytes} bytes, ` +
        `of which the other parts have ${siblingBytes}`,
    },
    {
      bytes: uploadStagedBytesMax - stagedBytes,
      reason:
        `all uploads together have at most ${uploadStagedBytesMax} bytes, ` +
        `of which ${stagedBytes} are taken`,
    },
  ]
  return rooms.reduce((least, room) => (room.bytes < least.bytes ? room : least))
}

const checkRoom = ({ bytes, reason }: Room, partBytes: number): void => {
  if (partBytes > bytes) refuse('BODY_TOO_LARGE', `the part has at least ${partBytes} bytes; ${reason}`)
}

const writePart = async (
  staging: Staging,
  path: string,
  { chunks, freesChunks }: PartBody,
  room: Room,
): Promise<Pick<StagedPart, 'bytes' | 'sha256'>> => {
  const body = new UploadBody(chunks, { hashesBytes: true, freesChunks })
  const file = await createFile(path)
  try {
    let checkAt = CHECK_BYTES
    for (let chunk = await body.next(); chunk !== null; chunk = await body.next()) {
      checkRoom(room, body.receivedBytes)
      if (body.receivedBytes >= checkAt) {
        await checkFreeSpace(staging, chunk.length)
        checkAt += CHECK_BYTES
      }
      await writeWhole(file, chunk)
    }
  } finally {
    await Promise.all([body.close(), file.close()])
  }
  const digest = body.digest()
  assert(digest !== null, 'the body is hashed')
  return { bytes: body.receivedBytes, sha256: Buffer.from(digest).toString('hex') }
}

/** Gives a complete part its name, and removes the parts that it replaces. */
const placePart = async (
  directory: string,
  path: string,
  whole: StagedPart,
  files: readonly PartFile[],
): Promise<StagedPart> => {
  const others = files.filter(({ part }) => part === whole.part)
  const stamp = 1 + Math.max(0, ...others.map(({ stamp }) => stamp))
  await rename(path, join(directory, partName({ ...whole, stamp })))
  for (const { name } of others) await rm(join(directory, name), { force: true })
  return whole
}
