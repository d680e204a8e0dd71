/** Writes snapshot files, and removes those that no catalog lists. */
import { randomUUID, createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { failpoint } from './failpoints.ts'
import { syncDirectory } from '../system/disk.ts'
import {
  BLOCK_BYTES,
  encodeChecksums,
  planSnapshot,
  type SnapshotFacts,
  type SnapshotPlan,
} from './snapshot-format.ts'
import { layOutMemory, type SnapshotMemory, viewMemory } from './snapshot-memory.ts'

/**
 * The number of written blocks that may be unsynced. A commit's sync waits for them too, because the file
 * system orders its own journal, so this limits how much a snapshot delays an update. The limit adapts to the
 * disk, so that a sync takes at most SYNC_MS_MAX.
 */
const UNSYNCED_BLOCKS_MIN = 2
const UNSYNCED_BLOCKS_FIRST = 4
const UNSYNCED_BLOCKS_MAX = 64
const SYNC_MS_MAX = 20

export interface WrittenSnapshot {
  /** Its name within the folder. */
  file: string
  bytes: number
  /** SHA-256 of the whole file, hexadecimal. */
  sha256: string
}

/**
 * Writes a snapshot of `memory` into the folder `directory`; when it resolves, the file is durable and has
 * its final name. The thread that updates the memory copies it, a MiB at a time, and writes the copy. Updates
 * run between two copies, so the file is consistent only together with the journal after
 * `facts.startSequence`, through the sequence that the version has when this resolves. Rejects with the error
 * of the operating system, or `signal.reason`, and then leaves no file.
 */
export const writeSnapshot = async (
  directory: string,
  facts: SnapshotFacts,
  memory: SnapshotMemory,
  signal?: AbortSignal,
): Promise<WrittenSnapshot> => {
  const plan = planSnapshot(facts)
  const name = randomUUID()
  const aside = join(directory, `${name}.tmp`)
  const file = `${name}.safetensors`
  try {
    const handle = await open(
      aside,
      constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW,
      0o600,
    )
    let sha256: string
    try {
      failpoint('snapshot:created')
      sha256 = await writeFile(handle, plan, memory, signal)
      failpoint('snapshot:written')
      await handle.sync()
      failpoint('snapshot:synced')
    } finally {
      await handle.close()
    }
    await rename(aside, join(directory, file))
    failpoint('snapshot:renamed')
    syncDirectory(directory)
    failpoint('snapshot:directory-synced')
    return { file, bytes: plan.fileBytes, sha256 }
  } catch (error) {
    await rm(aside, { force: true })
    await rm(join(directory, file), { force: true })
    throw error
  }
}

/** Writes header, blocks and checksums. One of two buffers is filled while the other is written. */
const writeFile = async (
  handle: FileHandle,
  plan: SnapshotPlan,
  memory: SnapshotMemory,
  signal?: AbortSignal,
): Promise<string> => {
  const { header, dataBytes, blockCount } = plan
  const spans = layOutMemory(plan.facts, memory)
  const hash = createHash('sha256')
  const write = async (bytes: Uint8Array, at: number): Promise<void> => {
    await writeAll(handle, bytes, at)
  }
  hash.update(header)
  await write(header, 0)
  const buffers = [Buffer.allocUnsafeSlow(BLOCK_BYTES), Buffer.allocUnsafeSlow(BLOCK_BYTES)]
  const checksums: number[] = []
  let writing: Promise<void> = Promise.resolve()
  let unsyncedBlocksMax = UNSYNCED_BLOCKS_FIRST
  let unsyncedBlocks = 0
  try {
    for (let block = 0; block < blockCount; block++) {
      signal?.throwIfAborted()
      const at = block * BLOCK_BYTES
      const copy = buffers[block % 2].subarray(0, Math.min(BLOCK_BYTES, dataBytes - at))
      copyMemory(viewMemory(spans, at, copy.length), copy)
      checksums.push(crc32(copy))
      hash.update(copy)
      await writing
      writing = write(copy, header.length + at)
      if (++unsyncedBlocks >= unsyncedBlocksMax) {
        await writing
        unsyncedBlocksMax = adaptTo(await timeSync(handle), unsyncedBlocksMax)
        unsyncedBlocks = 0
      }
      if (block === blockCount >> 1) failpoint('snapshot:half-written')
    }
  } finally {
    // The file must stay open, and the buffers unused, while a write is under way.
    await writing
  }
  const tail = encodeChecksums(header, checksums)
  hash.update(tail)
  await write(tail, header.length + dataBytes)
  return hash.digest('hex')
}

const timeSync = async (handle: FileHandle): Promise<number> => {
  const fromMs = performance.now()
  await handle.datasync()
  return performance.now() - fromMs
}

const adaptTo = (syncMs: number, blocks: number): number =>
  syncMs > SYNC_MS_MAX
    ? Math.max(UNSYNCED_BLOCKS_MIN, blocks >> 1)
    : syncMs < SYNC_MS_MAX / 4
      ? Math.min(UNSYNCED_BLOCKS_MAX, blocks * 2)
      : blocks

const copyMemory = (sources: readonly Uint8Array[], target: Buffer): void => {
  let at = 0
  for (const source of sources) {
    target.set(source, at)
    at += source.length
  }
}

/**
 * Writes every byte, from `at` on. Node reports no error for a short write, but the next one fails with the
 * reason.
 */
export const writeAll = async (
  handle: Pick<FileHandle, 'write'>,
  bytes: Uint8Array,
  at: number,
): Promise<void> => {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done)
    if (bytesWritten === 0) throw Object.assign(new Error('the disk takes no more bytes'), { code: 'ENOSPC' })
    done += bytesWritten
  }
}

/**
 * Removes the files in the folder of snapshots that the catalog does not list. A crash left them half
 * written, not yet listed, or no longer listed. The catalog must have been read completely. Returns the
 * removed names.
 */
export const sweepSnapshots = async (directory: string, listed: ReadonlySet<string>): Promise<string[]> => {
  const removed = (await readdir(directory)).filter(
    (name) => !listed.has(name) && /\.(tmp|safetensors)$/.test(name),
  )
  for (const name of removed) {
    await rm(join(directory, name), { force: true })
    failpoint('sweep:removed')
  }
  return removed
}
