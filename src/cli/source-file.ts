/** Reads the file that `gatherd put` uploads: its type, its parts and their digests. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { FILE_PREFIX_BYTES, type Format, FORMATS } from '../formats/format.ts'
import { UsageError } from './errors.ts'

/** A file to upload. */
export interface SourceFile {
  path: string
  bytes: number
  contentType: string
}

export interface Part {
  /** The number of the part in the file, from 0. */
  part: number
  at: number
  bytes: number
  /** The digest as Content-Digest spells it: `sha-256=:...:`. */
  digest: string
}

/** Describes the file at `path`. Throws UsageError for a file of no known format, or the system's error. */
export const inspectFile = async (path: string): Promise<SourceFile> => {
  const handle = await open(path)
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new UsageError(`${path} is not a regular file`)
    const head = Buffer.alloc(FILE_PREFIX_BYTES)
    await handle.read(head, 0, head.length, 0)
    return { path, bytes: stats.size, contentType: findContentType(path, head) }
  } finally {
    await handle.close()
  }
}

/**
 * Finds the type of a file by its first bytes. Bare numbers can begin with any, so that their name decides.
 */
const findContentType = (path: string, head: Buffer): string => {
  const name = path.toLowerCase()
  const isNamed = ({ fileEndings }: Format) => fileEndings.some((ending) => name.endsWith(`.${ending}`))
  const found =
    FORMATS.find((format) => isNumbers(format) && isNamed(format)) ??
    FORMATS.find((format) => format.carries !== 'numbers' && format.recognises(head))
  if (found !== undefined) return found.mediaType
  const [numbers, others] = [FORMATS.filter(isNumbers), FORMATS.filter((format) => !isNumbers(format))]
  const known = others.map((format) => format.name).join(' nor ')
  const endings = numbers.flatMap((format) => format.fileEndings).join(' or .')
  throw new UsageError(`${path} is neither ${known}; raw numbers have a name that ends with .${endings}`)
}

const isNumbers = ({ carries }: Format): boolean => carries === 'numbers'

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
