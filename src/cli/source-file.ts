/** Reads the file that `gatherd put` uploads: its type, its parts and their digests. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
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

const RAW_NAME = /\.(bin|raw)$/i
const NPY_MAGIC = Buffer.from('\x93NUMPY', 'latin1')
/** A safetensors file has eight bytes of length, then JSON. */
const BRACE_AT = 8

/** Inspects the file at `path`. Throws UsageError for a file of unknown type, or an error of the system. */
export const inspectFile = async (path: string): Promise<SourceFile> => {
  const handle = await open(path)
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new UsageError(`${path} is not a regular file`)
    const head = Buffer.alloc(16)
    await handle.read(head, 0, head.length, 0)
    return { path, bytes: stats.size, contentType: findContentType(path, head) }
  } finally {
    await handle.close()
  }
}

/**
 * Returns the media type. The name marks raw numbers, since those can begin with any bytes; the other formats
 * are known by their first bytes.
 */
const findContentType = (path: string, head: Buffer): string => {
  if (RAW_NAME.test(path)) return 'application/octet-stream'
  if (head.subarray(0, NPY_MAGIC.length).equals(NPY_MAGIC)) return 'application/x-npy'
  if (head[BRACE_AT] === 0x7b) return 'application/x-safetensors'
  throw new UsageError(
    `${path} is neither npy nor safetensors; raw numbers have a name that ends with .bin or .raw`,
  )
}

/** Streams `bytes` bytes of the file, from `at` on. */
export const readPiece = (path: string, at: number, bytes: number): AsyncIterable<Uint8Array> =>
  createReadStream(path, { start: at, end: at + bytes - 1, highWaterMark: 256 * 1024 })

const formatDigest = (sha256: Buffer): string => `sha-256=:${sha256.toString('base64')}:`

/** Reads the file once and returns its digest, and its parts of `partBytes` with theirs. */
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
