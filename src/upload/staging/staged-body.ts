/** Checks the parts of an upload and reads them as one body. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type ErrorPlace, refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { readFully } from '../../system/reads.ts'
import { ignoreMissing, isMissing } from './disk.ts'
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
 * or the disk has changed since it was received is renamed, and DIGEST_MISMATCH names it, so that the client
 * can send it again. A read that fails is no such change: it is tried again, and then the part stays.
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
    for (let at = 0; ; ) {
      const bytesRead = await readFully(file, [buffer], at)
      if (bytesRead === 0) break
      at += bytesRead
      const chunk = buffer.subarray(0, bytesRead)
      hash.update(chunk)
      yield chunk
    }
    if (hash.digest('hex') === part.sha256) return
  } finally {
    await file.close()
  }
  // It no longer counts as a part, and is removed with the upload.
  await rename(path, join(dirname(path), `damaged-${basename(path)}`)).catch(ignoreMissing)
  refuse(
    'DIGEST_MISMATCH',
    `part ${part.part} was damaged on disk and does not count any more: send it again, then commit again`,
  )
}

const refuseReplaced = (error: unknown, { part }: PartFile): never => {
  if (!isMissing(error)) throw error
  return refuse(
    'INVALID_REQUEST',
    `part ${part} was replaced or removed while the upload was being committed`,
  )
}
