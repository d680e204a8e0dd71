/**
 * Reads the directory of a zip archive and unpacks one of its files (PKWARE APPNOTE 6.3, with zip64): enough
 * for npz, which `np.savez` stores and `np.savez_compressed` deflates.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { UsageError } from '../errors.ts'

/** A file in an archive. */
export interface ZipEntry {
  name: string
  method: number
  isEncrypted: boolean
  crc: number
  packedBytes: number
  bytes: number
  /** The place of its local header. */
  at: number
}

const END_SIGNATURE = 0x06054b50
const END_BYTES = 22
const COMMENT_BYTES_MAX = 0xffff
const LOCATOR_SIGNATURE = 0x07064b50
const LOCATOR_BYTES = 20
const END64_SIGNATURE = 0x06064b50
const END64_BYTES = 56
const ENTRY_SIGNATURE = 0x02014b50
const ENTRY_BYTES = 46
const LOCAL_SIGNATURE = 0x04034b50
const LOCAL_BYTES = 30
const ZIP64_EXTRA = 1
const IN_ZIP64 = 0xffffffff
const DIRECTORY_BYTES_MAX = 16 * 1024 * 1024
const STORED = 0
const DEFLATED = 8

/** Lists the files of the archive at `path`. Throws UsageError for an archive that is cut or damaged. */
export const listZip = async (path: string): Promise<ZipEntry[]> => {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const { at, bytes } = await findDirectory(path, file, size)
    if (bytes > DIRECTORY_BYTES_MAX || at + bytes > size) throw damaged(path)
    return readEntries(path, await readAt(path, file, at, bytes))
  } finally {
    await file.close()
  }
}

const damaged = (path: string): UsageError =>
  new UsageError(`${path} is a zip archive that is cut short or damaged`)

const readAt = async (path: string, file: FileHandle, at: number, bytes: number): Promise<Buffer> => {
  const buffer = Buffer.alloc(bytes)
  const { bytesRead } = await file.read(buffer, 0, bytes, at)
  if (bytesRead < bytes) throw damaged(path)
  return buffer
}

const findDirectory = async (
  path: string,
  file: FileHandle,
  size: number,
): Promise<{ at: number; bytes: number }> => {
  const tailBytes = Math.min(size, END_BYTES + COMMENT_BYTES_MAX + LOCATOR_BYTES)
  const tail = await readAt(path, file, size - tailBytes, tailBytes)
  let end = tail.length - END_BYTES
  while (end >= 0 && tail.readUInt32LE(end) !== END_SIGNATURE) end -= 1
  if (end < 0) throw damaged(path)
  const locator = end - LOCATOR_BYTES
  if (locator >= 0 && tail.readUInt32LE(locator) === LOCATOR_SIGNATURE) {
    const end64 = await readAt(path, file, Number(tail.readBigUInt64LE(locator + 8)), END64_BYTES)
    if (end64.readUInt32LE(0) !== END64_SIGNATURE) throw damaged(path)
    return { bytes: Number(end64.readBigUInt64LE(40)), at: Number(end64.readBigUInt64LE(48)) }
  }
  return { bytes: tail.readUInt32LE(end + 12), at: tail.readUInt32LE(end + 16) }
}

const readEntries = (path: string, directory: Buffer): ZipEntry[] => {
  const entries: ZipEntry[] = []
  for (let at = 0; at + ENTRY_BYTES <= directory.length; ) {
    if (directory.readUInt32LE(at) !== ENTRY_SIGNATURE) throw damaged(path)
    const nameAt = at + ENTRY_BYTES
    const extraAt = nameAt + directory.readUInt16LE(at + 28)
    const extraEnd = extraAt + directory.readUInt16LE(at + 30)
    if (extraEnd > directory.length) throw damaged(path)
    const sizes = [
      directory.readUInt32LE(at + 24),
      directory.readUInt32LE(at + 20),
      directory.readUInt32LE(at + 42),
    ]
    const [bytes, packedBytes, local] = readSizes(directory.subarray(extraAt, extraEnd), sizes)
    entries.push({
      name: directory.toString('utf8', nameAt, extraAt),
      method: directory.readUInt16LE(at + 10),
      isEncrypted: (directory.readUInt16LE(at + 8) & 1) === 1,
      crc: directory.readUInt32LE(at + 16),
      packedBytes,
      bytes,
      at: local,
    })
    at = extraEnd + directory.readUInt16LE(at + 32)
  }
  return entries
}

/** Replaces the numbers that do not fit into 32 bits by those of the zip64 field, which has only these. */
const readSizes = (extra: Buffer, sizes: readonly number[]): number[] => {
  let at = 0
  while (at + 4 <= extra.length && extra.readUInt16LE(at) !== ZIP64_EXTRA)
    at += 4 + extra.readUInt16LE(at + 2)
  at += 4
  return sizes.map((size) => {
    if (size !== IN_ZIP64 || at + 8 > extra.length) return size
    at += 8
    return Number(extra.readBigUInt64LE(at - 8))
  })
}

/** Unpacks one file of the archive at `path` to `target`. Throws UsageError for what cannot be unpacked. */
export const unpackEntry = async (path: string, entry: ZipEntry, target: string): Promise<void> => {
  if (entry.isEncrypted || (entry.method !== STORED && entry.method !== DEFLATED))
    throw new UsageError(
      `${entry.name} of ${path} is encrypted, or packed by method ${entry.method}: unpack it first`,
    )
  const file = await open(path)
  let dataAt: number
  try {
    const local = await readAt(path, file, entry.at, LOCAL_BYTES)
    if (local.readUInt32LE(0) !== LOCAL_SIGNATURE) throw damaged(path)
    dataAt = entry.at + LOCAL_BYTES + local.readUInt16LE(26) + local.readUInt16LE(28)
  } finally {
    await file.close()
  }
  let crc = 0
  let bytes = 0
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      crc = crc32(chunk, crc)
      bytes += chunk.length
      done(bytes > entry.bytes ? damaged(path) : null, chunk)
    },
  })
  const source =
    entry.packedBytes === 0
      ? Readable.from([])
      : createReadStream(path, { start: dataAt, end: dataAt + entry.packedBytes - 1 })
  const sink = createWriteStream(target)
  try {
    if (entry.method === STORED) await pipeline(source, check, sink)
    else await pipeline(source, createInflateRaw(), check, sink)
  } catch (error) {
    if (String((error as NodeJS.ErrnoException).code).startsWith('Z_')) throw damaged(path)
    throw error
  }
  if (bytes !== entry.bytes || crc !== entry.crc) throw damaged(path)
}
