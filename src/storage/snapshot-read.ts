/** Reads snapshot files, and checks them. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { safetensorsHeaderBytes } from '../formats/safetensors.ts'
import { readFully } from '../system/reads.ts'
import type { CatalogSnapshot } from './catalog-rows.ts'
import { classifyDiskError, refuseDiskError } from './disk-errors.ts'
import type { EvidenceState } from './recovery-decisions.ts'
import { refuseData, StoredDataRefusal } from './refusals.ts'
import {
  BLOCK_BYTES,
  decodeChecksums,
  readSnapshotHeader,
  refuseSnapshot,
  type SnapshotFacts,
  type SnapshotPlan,
} from './snapshot-format.ts'
import { layOutMemory, type SnapshotMemory, viewMemory } from './snapshot-memory.ts'

/**
 * The length of one read, and the number of concurrent reads: one is checked on this thread while the others
 * wait for the disk.
 */
const READ_BYTES = 4 * BLOCK_BYTES
const READ_COUNT = 3

export interface ReadSnapshotOptions {
  /** Called with the bytes that have been read and checked so far, and those of the whole file. */
  onProgress?: (bytes: number, ofBytes: number) => void
}

/**
 * Reads the snapshot at `path` straight into the memory that `allocate` returns for it, and checks every
 * block. `allocate` may throw if the file is not the expected one. Nothing else may use the memory meanwhile,
 * and after a refusal its contents are undefined. Refuses DamagedSnapshot, naming the block; MissingFile;
 * UnknownFormat; and Unreadable or NotOpened, which say nothing about the file. It checks the CRC of every
 * block, and leaves the SHA-256 of the file, which takes longer than reading, to {@link verifySnapshot}.
 */
export const readSnapshot = async (
  path: string,
  allocate: (facts: SnapshotFacts) => SnapshotMemory,
  options: ReadSnapshotOptions = {},
): Promise<SnapshotFacts> => {
  const handle = await openSnapshot(path)
  try {
    const { plan, checksums } = await readEnds(handle, path)
    const spans = layOutMemory(plan.facts, allocate(plan.facts))
    const { dataBytes } = plan
    let next = 0
    let doneBytes = 0
    const readOn = async (): Promise<void> => {
      while (next < dataBytes) {
        const at = next
        const bytes = Math.min(READ_BYTES, dataBytes - at)
        next += bytes
        const blocks = Array.from({ length: Math.ceil(bytes / BLOCK_BYTES) }, (_, i) =>
          viewMemory(spans, at + i * BLOCK_BYTES, Math.min(BLOCK_BYTES, bytes - i * BLOCK_BYTES)),
        )
        try {
          await readBlocks(handle, path, blocks, { plan, checksums, at })
        } catch (error) {
          next = dataBytes
          throw error
        }
        doneBytes += bytes
        options.onProgress?.(doneBytes, dataBytes)
      }
    }
    // All reads end before the file is closed, even if one fails.
    const ends = await Promise.allSettled(Array.from({ length: READ_COUNT }, readOn))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
    return plan.facts
  } finally {
    await handle.close()
  }
}

/**
 * Reads the facts of the snapshot at `path`, after checking header, checksums and length but no block.
 * Refuses as {@link readSnapshot}.
 */
export const inspectSnapshot = async (path: string): Promise<SnapshotFacts> => {
  const handle = await openSnapshot(path)
  try {
    return (await readEnds(handle, path)).plan.facts
  } finally {
    await handle.close()
  }
}

/**
 * Classifies the file of a listed snapshot by its header, checksums and length; recovery plans with the
 * result. The blocks are checked when the file is loaded, and a refusal then makes it `damaged`. Refuses what
 * {@link refuseDiskError} does, because a file that cannot be read may be whole.
 */
export const classifySnapshot = async (
  directory: string,
  listed: CatalogSnapshot,
): Promise<EvidenceState> => {
  const path = join(directory, listed.file)
  try {
    const { size } = await stat(path)
    if (size < listed.bytes) return 'cut'
    checkListed(path, await inspectSnapshot(path), listed)
    return size === listed.bytes ? 'valid' : 'damaged'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'missing'
    if (!(error instanceof StoredDataRefusal)) return refuseDiskError(path, error)
    if (error.code === 'MissingFile') return 'missing'
    if (error.code === 'DamagedSnapshot') return 'damaged'
    throw error
  }
}

/** Checks that a file is the snapshot that the catalog lists under its name. Refuses DamagedSnapshot. */
export const checkListed = (path: string, facts: SnapshotFacts, listed: CatalogSnapshot): void => {
  const isListed =
    facts.tableId === listed.tableId &&
    facts.version === listed.version &&
    facts.startSequence === listed.startSequence &&
    (facts.state?.kind ?? null) === listed.stateKind
  if (!isListed)
    refuseSnapshot(
      path,
      `it is that of table ${facts.tableId}, version ${facts.version}, sequence ${facts.startSequence}`,
    )
}

/**
 * Checks the whole file: every block, and the SHA-256 that the catalog lists. Refuses as {@link
 * readSnapshot}.
 */
export const verifySnapshot = async (path: string, sha256: string): Promise<SnapshotFacts> => {
  const handle = await openSnapshot(path)
  try {
    const { plan, checksums } = await readEnds(handle, path)
    const hash = createHash('sha256').update(plan.header)
    const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
    for (let block = 0; block < plan.blockCount; block++) {
      const view = buffer.subarray(0, Math.min(BLOCK_BYTES, plan.dataBytes - block * BLOCK_BYTES))
      await readBlocks(handle, path, [[view]], { plan, checksums, at: block * BLOCK_BYTES })
      hash.update(view)
    }
    const tail = Buffer.alloc(plan.checksumBytes)
    await readAll(handle, path, [tail], plan.fileBytes - plan.checksumBytes)
    if (hash.update(tail).digest('hex') !== sha256)
      refuseSnapshot(path, 'it is not the file that was written (its SHA-256 differs)')
    return plan.facts
  } finally {
    await handle.close()
  }
}

const openSnapshot = async (path: string): Promise<FileHandle> => {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return refuseData('MissingFile', path, 'the snapshot is missing', error)
    if (code === 'ELOOP') return refuseSnapshot(path, 'it is a symbolic link', error)
    return refuseDiskError(path, error)
  }
}

interface SnapshotEnds {
  plan: SnapshotPlan
  checksums: number[]
}

/** Reads and checks the header and the checksums, once more if the first read finds them damaged. */
const readEnds = async (handle: FileHandle, path: string): Promise<SnapshotEnds> => {
  try {
    return await readEndsOnce(handle, path).catch((error: unknown) => {
      if (error instanceof StoredDataRefusal && error.code === 'DamagedSnapshot')
        return readEndsOnce(handle, path)
      throw error
    })
  } catch (error) {
    return refuseDiskError(path, error)
  }
}

const readEndsOnce = async (handle: FileHandle, path: string): Promise<SnapshotEnds> => {
  const { size } = await handle.stat()
  const prefix = Buffer.alloc(8)
  await readAll(handle, path, [prefix], 0)
  const header = Buffer.alloc(headerBytesOf(path, prefix))
  await readAll(handle, path, [header], 0)
  const plan = readSnapshotHeader(path, header, size)
  const tail = Buffer.alloc(plan.checksumBytes)
  await readAll(handle, path, [tail], plan.fileBytes - plan.checksumBytes)
  return { plan, checksums: decodeChecksums(path, header, tail) }
}

const headerBytesOf = (path: string, prefix: Buffer): number => {
  try {
    return safetensorsHeaderBytes(prefix) ?? 0
  } catch (error) {
    return refuseSnapshot(path, (error as Error).message, error)
  }
}

/**
 * Reads blocks and checks them. A block with a wrong checksum is read once more, in case the first read was
 * at fault. Refuses DamagedSnapshot.
 */
const readBlocks = async (
  handle: FileHandle,
  path: string,
  blocks: Uint8Array[][],
  { plan, checksums, at }: { plan: SnapshotPlan; checksums: readonly number[]; at: number },
): Promise<void> => {
  await readAll(handle, path, blocks.flat(), plan.header.length + at)
  const first = at / BLOCK_BYTES
  for (const [i, views] of blocks.entries()) {
    if (isWhole(views, checksums[first + i])) continue
    await readAll(handle, path, views, plan.header.length + at + i * BLOCK_BYTES)
    if (!isWhole(views, checksums[first + i]))
      refuseSnapshot(path, `block ${first + i} of ${checksums.length} (each a MiB) has a wrong checksum`)
  }
}

const isWhole = (views: readonly Uint8Array[], checksum: number): boolean =>
  views.reduce((sum, view) => crc32(view, sum), 0) === checksum

/** Fills `views` from `at` on. Refuses DamagedSnapshot if the file ends before that, and Unreadable. */
const readAll = async (handle: FileHandle, path: string, views: Uint8Array[], at: number): Promise<void> => {
  const wantedBytes = views.reduce((sum, view) => sum + view.length, 0)
  let bytes: number
  try {
    bytes = await readFully(handle, views, at)
  } catch (error) {
    if (classifyDiskError(error) !== null) return refuseDiskError(path, error)
    return refuseSnapshot(path, `it cannot be read (${(error as NodeJS.ErrnoException).code})`, error)
  }
  if (bytes < wantedBytes) refuseSnapshot(path, `it ends at byte ${at + bytes}`)
}
