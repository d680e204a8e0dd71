/** Checks the parts of an upload and reads them as one body. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type ErrorPlace, refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { isMissing } from './disk.ts'
import { countBytes, type PartFile, type Upload } from './layout.ts'

/** The length of one read, which is small enough that other requests are served between two reads. */
const READ_BYTES = 512 * 1024

/**
 * Checks that the parts, which are in ascending order, form a whole body: numbers from 0 or from 1 without a
 * gap, and as many bytes as were announced. Refuses INVALID_REQUEST, naming the missing parts. Returns the
 * bytes of all parts.
 */
export const checkComplete = ({ bytes }: Pick<Upload, 'bytes'>, parts: readonly PartFile[]): number => {
  if (parts.length === 0) refuse('INVALID_REQUEST', 'the upload has no parts yet')
  const first = parts[0].part === 0 ? 0 : 1
  const last = parts[parts.length - 1].part
  const received = new Set(parts.map(({ part }) => part))
  const missing = Array.from({ length: last - first + 1 }, (_, i) => first + i).filter(
    (part) => !received.has(part),
  )
  if (missing.length > 0) refuseMissing(missing, last)
  const receivedBytes = countBytes(parts)
  if (bytes !== null && bytes !== receivedBytes) {
    refuse(
      'INVALID_REQUEST',
      `the parts have ${receivedBytes} bytes together, but the upload was announced with ${bytes}`,
    )
  }
  return receivedBytes
}

const refuseMissing = (missing: readonly number[], last: number): never => {
  const shown = missing.slice(0, LIMITS.errorPlacesMax)
  const more = missing.length > shown.length ? ` and ${missing.length - shown.length} more` : ''
  const errors: ErrorPlace[] = shown.map((part) => ({ pointer: `/parts/${part}`, detail: 'is missing' }))
  return refuse(
    'INVALID_REQUEST',
    `of the parts up to ${last}, these are missing: ${shown.join(', ')}${more}`,
    { errors },
  )
}

/**
 * Reads the parts one after the other, into a buffer that the next chunk overwrites. A part that a power cut
 * or the disk has changed since it was received is removed, and DIGEST_MISMATCH names it, so that the client
 * can send it again.
 */
export async function* readParts(
  directory: string,
  parts: readonly PartFile[],
): AsyncGenerator<Uint8Array, void, void> {
  const buffer = new Uint8Array(READ_BYTES)
  for (const part of parts) yield* readPart(join(directory, part.name), part, buffer)
}

async function* readPart(
  path: string,
  part: PartFile,
  buffer: Uint8Array,
): AsyncGenerator<Uint8Array, void, void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW).catch((error: unknown) =>
    refuseReplaced(error, part),
  )
  try {
    const hash = createHash('sha256')
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) break
      const chunk = buffer.subarray(0, bytesRead)
      hash.update(chunk)
      yield chunk
    }
    if (hash.digest('hex') === part.sha256) return
  } finally {
    await file.close()
  }
  await rm(path, { force: true })
  refuse(
    'DIGEST_MISMATCH',
    `part ${part.part} was damaged on disk and has been removed: send it again, then commit again`,
  )
}

const refuseReplaced = (error: unknown, { part }: PartFile): never => {
  if (!isMissing(error)) throw error
  return refuse(
    'INVALID_REQUEST',
    `part ${part} was replaced or removed while the upload was being committed`,
  )
}
