/** Reads the file that `gatherd put` uploads: its type, its parts and their digests. */
import { createHash } from 'node:crypto'
import { createReadStream, type Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { UsageError } from './errors.ts'
import { type FileOptions, recogniseFile, type SendableFile } from './files/recognise-file.ts'

/** A file to upload. */
export interface SourceFile extends SendableFile {
  bytes: number
}

export interface Part {
  /** The number of the part in the file, from 0. */
  part: number
  at: number
  bytes: number
  /** The digest as Content-Digest spells it: `sha-256=:...:`. */
  digest: string
}

/**
 * Finds the file to send for the one at `path`, which may be a temporary one: the caller removes it. Throws
 * UsageError for a file of no known format, or the system's error.
 */
export const inspectFile = async (
  path: string,
  options: FileOptions = { hasShape: true },
): Promise<SourceFile> => {
  const facts = await stat(path)
  if (!facts.isFile()) throw new UsageError(`${path} is not a regular file`)
  if (options.wordsPath !== undefined) await refuseSame(facts, options.wordsPath)
  const file = await recogniseFile(path, options)
  return { ...file, bytes: (await stat(file.path)).size }
}

/** Refuses to write the words over the vectors that are being read. */
const refuseSame = async ({ dev, ino }: Stats, wordsPath: string): Promise<void> => {
  const words = await stat(wordsPath).catch(() => undefined)
  if (words?.dev === dev && words.ino === ino)
    throw new UsageError(`--words would write over ${wordsPath}, the file with the vectors`)
}

/** Reads `bytes` bytes of the file from `at` on. */
export const readPiece = (path: string, at: number, bytes: number): AsyncIterable<Uint8Array> =>
  createReadStream(path, { start: at, end: at + bytes - 1, highWaterMark: 256 * 1024 })

const formatDigest = (sha256: Buffer): string => `sha-256=:${sha256.toString('base64')}:`

/** Reads the file once, for its digest and for its parts of `partBytes` with theirs. */
export const digestFile = async (
  file: SourceFile,
  partBytes: number,
  onRead: (bytes: number) => void,
): Promise<{ digest: string; parts: Part[] }> => {
  const whole = createHash('sha256')
  const parts: Part[] = []
  for (let at = 0; at < file.bytes; at += partBytes) {
    const bytes = Math.min(partBytes, file.bytes - at)
    const hash = createHash('sha256')
    let read = 0
    for await (const chunk of readPiece(file.path, at, bytes)) {
      whole.update(chunk)
      hash.update(chunk)
      read += chunk.length
      onRead(chunk.length)
    }
    if (read < bytes) throw new Error(`${file.path} became shorter while it was read`)
    parts.push({ part: parts.length, at, bytes, digest: formatDigest(hash.digest()) })
  }
  return { digest: formatDigest(whole.digest()), parts }
}
