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
  /** Bytes of any number. */
  chunks: AsyncIterable<Uint8Array>
  /** See `Upload.freesChunks`. */
  freesChunks?: boolean
  contentLength?: number
  /** The sha-256 that it must have. */
  digest?: Uint8Array
}

/** The bytes that a part may have, and the bound that says so. */
interface Room {
  bytes: number
  reason: string
}

/** After so many bytes the disk is looked at again: others fill it too. */
const CHECK_BYTES = 64 * 1024 * 1024

/**
 * Writes a part to disk as it comes in, chunk by chunk; when it is whole it takes the place of another with
 * its number. Until then, and whatever fails, everything stays as it was.
 *
 * Refuses BODY_TOO_LARGE (a part, the announced total, all uploads together), DISK_FULL, DIGEST_MISMATCH,
 * UPLOAD_NOT_FOUND when the upload is taken away meanwhile, and what the body rejects with.
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
      // Others may have come meanwhile.
      checkRoom(await measureRoom(staging, upload, part, files), bytes)
      return await placePart(directory, path, { part, bytes, sha256 }, files)
    } catch (error) {
      await rm(path, { force: true })
      throw error
    }
  })

/** `files`: those of this upload. A part of the same number goes when this one comes. */
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
    // One that goes meanwhile needs no room.
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
        `of which ${stagedBytes} are there`,
    },
  ]
  return rooms.reduce((least, room) => (room.bytes < least.bytes ? room : least))
}

const checkRoom = ({ bytes, reason }: Room, wantedBytes: number): void => {
  if (wantedBytes > bytes) refuse('BODY_TOO_LARGE', `the part has at least ${wantedBytes} bytes; ${reason}`)
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

/** Gives a whole part its name, and removes those that it takes the place of. */
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
