import { createHash } from 'node:crypto'
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Dtype } from '../../src/core/types.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { StoredDataRefusal } from '../../src/storage/refusals.ts'
import type { SnapshotFacts } from '../../src/storage/snapshot-format.ts'
import type { SnapshotMemory } from '../../src/storage/snapshot-memory.ts'
import {
  inspectSnapshot,
  classifySnapshot,
  readSnapshot,
  verifySnapshot,
} from '../../src/storage/snapshot-read.ts'
import { sweepSnapshots, writeAll, writeSnapshot } from '../../src/storage/snapshot-write.ts'
import { PAGE_BYTES, ROWS_AT, rowBytes } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { makeFolder, refusalOfAsync, sampleSnapshot } from './samples.ts'
import { runsOf } from '../helpers/property-runs.ts'

const MiB = 1024 * 1024
/** Every so manyth byte is damaged; with an odd step each of the eight bits has its turn. */
const STRIDE = runsOf({ quick: 5, long: 1 })

const sampleFacts = (changes: Partial<SnapshotFacts> = {}): SnapshotFacts => ({
  tableId: 1,
  table: 'user',
  version: 1,
  rows: 50,
  dim: 3,
  dtype: 'float32',
  startSequence: 7,
  step: 2,
  updatedAtMs: 1_700_000_000_000.5,
  state: null,
  ...changes,
})
const adam = { kind: 'adam' as const, length: 6, epoch: 1, initial: 0 }

/** Allocates memory for a version, in several segments when it is larger than one page. */
const allocate = (facts: SnapshotFacts, segmentBytesMax = 2 * PAGE_BYTES): SnapshotMemory => {
  const memory = new TableMemory(1024 * MiB, segmentBytesMax)
  const { segments } = memory.allocate(facts.rows, rowBytes(facts.dim, facts.dtype))
  if (facts.state === null) return { segments, state: null }
  return {
    segments,
    state: {
      segments: memory.allocate(facts.rows, facts.state.length * 4).segments,
      touched: new Uint8Array(facts.rows),
    },
  }
}

/** Returns a view of the bytes of each array of the memory. */
const viewAll = (facts: SnapshotFacts, memory: SnapshotMemory): Uint8Array[] => {
  const views = (segments: SnapshotMemory['segments'], bytes: number) =>
    segments.map(({ memory: { buffer }, rowCount }) => new Uint8Array(buffer, ROWS_AT, rowCount * bytes))
  const state =
    memory.state === null
      ? []
      : [...views(memory.state.segments, (facts.state?.length ?? 0) * 4), memory.state.touched]
  return [...views(memory.segments, rowBytes(facts.dim, facts.dtype)), ...state]
}

const fill = (facts: SnapshotFacts, memory: SnapshotMemory): void => {
  let seed = 1
  for (const view of viewAll(facts, memory))
    for (let i = 0; i < view.length; i++) view[i] = (seed = (seed * 48_271) % 2_147_483_647) & 255
}

const bytesOf = (facts: SnapshotFacts, memory: SnapshotMemory): Buffer =>
  Buffer.concat(viewAll(facts, memory).map((view) => view.slice()))

const writeSample = async (facts: SnapshotFacts, folder = makeFolder()) => {
  const memory = allocate(facts)
  fill(facts, memory)
  const written = await writeSnapshot(folder, facts, memory)
  return { folder, memory, written, path: join(folder, written.file) }
}

const read = async (path: string) => {
  let found: SnapshotMemory | null = null
  const facts = await readSnapshot(path, (described) => (found = allocate(described)))
  return { facts, bytes: bytesOf(facts, found as unknown as SnapshotMemory) }
}

describe('A snapshot', () => {
  const kinds: Partial<SnapshotFacts>[] = [
    ...(['float32', 'float16', 'bfloat16', 'int8'] as Dtype[]).flatMap((dtype) => [
      { dtype },
      { dtype, state: adam },
    ]),
    { rows: 0 },
    { rows: 0, state: adam },
    { dim: 0 },
    { rows: 40_000, dim: 8, state: { ...adam, length: 16 } },
    { rows: 1, dim: 1 },
    { rows: 100_003, dim: 13, dtype: 'int8' },
    { startSequence: 2 ** 50, table: 'a"b\\é', step: 2 ** 40 },
    { state: { kind: 'rowwise_adagrad', length: 1, epoch: 4, initial: Math.fround(0.1) } },
  ]
  test.each(kinds)('of %j reads back with the same bytes and the same header fields', async (changes) => {
    const facts = sampleFacts(changes)
    const { path, memory, written } = await writeSample(facts)
    const again = await read(path)
    expect(again.facts).toEqual(facts)
    expect(again.bytes.equals(bytesOf(facts, memory))).toBe(true)
    expect(written.bytes).toBe(statSync(path).size)
    expect(written.sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'))
    expect(await verifySnapshot(path, written.sha256)).toEqual(facts)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('is a safetensors file that holds the table', async () => {
    const facts = sampleFacts({ rows: 4, dim: 2, state: { ...adam, length: 4 } })
    const { path, memory } = await writeSample(facts)
    const tensors = readSafetensors(readFileSync(path))
    expect([...tensors.keys()]).toEqual(['optimizer/state', 'embeddings', 'optimizer/touched', 'checksums'])
    const embeddings = tensors.get('embeddings')
    expect(embeddings).toMatchObject({ elementType: 'float32', shape: [4, 2] })
    expect(Buffer.from(embeddings?.data ?? []).equals(bytesOf(facts, memory).subarray(0, 32))).toBe(true)
  })

  test('of format 1 is read from the fixture and written with the same bytes', async () => {
    const path = new URL('fixtures/snapshot-1.safetensors', import.meta.url).pathname
    const facts = sampleFacts({ rows: 3, dim: 2, dtype: 'float16', state: { ...adam, length: 4 } })
    const again = await read(path)
    expect(again.facts).toEqual(facts)
    const written = await writeSample(facts)
    expect(again.bytes.equals(bytesOf(facts, written.memory))).toBe(true)
    expect(readFileSync(written.path).equals(readFileSync(path))).toBe(true)
  })

  test('is read without its state when that is not wanted, but its state is still verified', async () => {
    const facts = sampleFacts({ state: adam })
    const { path, memory } = await writeSample(facts)
    const target = { ...allocate(facts), state: null }
    await readSnapshot(path, () => target)
    expect(
      bytesOf(facts, target).equals(bytesOf({ ...facts, state: null }, { ...memory, state: null })),
    ).toBe(true)
  })

  test('reports the progress of its reading, through the last byte', async () => {
    const { path } = await writeSample(sampleFacts({ rows: 100_000, dim: 16 }))
    const seen: number[] = []
    await readSnapshot(path, allocate, { onProgress: (bytes) => seen.push(bytes) })
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect(seen.at(-1)).toBe(6_400_000)
  })

  test('is not read when the caller finds from its header that it is another one', async () => {
    const { path } = await writeSample(sampleFacts())
    const refusal = new Error('not mine')
    await expect(
      readSnapshot(path, () => {
        throw refusal
      }),
    ).rejects.toBe(refusal)
  })
})

describe('A snapshot that is written during updates', () => {
  test('equals the current version once the records since its start are replayed, whatever the interleaving', async () => {
    const facts = sampleFacts({
      rows: 20_000,
      dim: 64,
      state: { kind: 'adagrad', length: 64, epoch: 0, initial: 0 },
    })
    const memory = allocate(facts, 4 * MiB)
    fill(facts, memory)
    const folder = makeFolder()
    let isWriting = true
    const writing = writeSnapshot(folder, facts, memory).finally(() => (isWriting = false))
    const records: { row: number; bytes: Uint8Array[] }[] = []
    let random = 7
    while (isWriting) {
      random = (random * 48_271) % 2_147_483_647
      const row = random % facts.rows
      const targets = [
        ...rowViews(memory.segments, row, 256),
        ...rowViews(memory.state?.segments ?? [], row, 256),
      ]
      for (const target of targets) target.fill(random & 255)
      if (memory.state !== null) memory.state.touched[row] = 1
      records.push({ row, bytes: targets.map((target) => target.slice()) })
      await new Promise((resolve) => setImmediate(resolve))
    }
    const path = join(folder, (await writing).file)
    const found = allocate(facts, 4 * MiB)
    await readSnapshot(path, () => found)
    const before = bytesOf(facts, found).equals(bytesOf(facts, memory))
    for (const { row, bytes } of records) {
      const targets = [
        ...rowViews(found.segments, row, 256),
        ...rowViews(found.state?.segments ?? [], row, 256),
      ]
      targets.forEach((target, i) => target.set(bytes[i]))
      if (found.state !== null) found.state.touched[row] = 1
    }
    expect(records.length).toBeGreaterThan(10)
    // Without the journal the snapshot mixes rows of several sequences.
    expect(before).toBe(false)
    expect(bytesOf(facts, found).equals(bytesOf(facts, memory))).toBe(true)
  })
})

const rowViews = (segments: SnapshotMemory['segments'], row: number, bytes: number): Uint8Array[] =>
  segments
    .filter(({ firstRow, rowCount }) => row >= firstRow && row < firstRow + rowCount)
    .map(
      ({ memory: { buffer }, firstRow }) => new Uint8Array(buffer, ROWS_AT + (row - firstRow) * bytes, bytes),
    )

describe('A damaged snapshot', () => {
  const facts = sampleFacts({ rows: 5, dim: 2, state: { ...adam, length: 4 } })
  const damage = async (path: string, bytes: Uint8Array): Promise<string | null> => {
    writeFileSync(path, bytes)
    return refusalOfAsync(() => readSnapshot(path, allocate))
  }

  test('is refused when it is cut at any byte, or has bytes added', async () => {
    const { path } = await writeSample(facts)
    const bytes = new Uint8Array(readFileSync(path))
    for (let length = 0; length < bytes.length; length += length < bytes.length - 200 ? 7 * STRIDE : 1) {
      expect(await damage(path, bytes.subarray(0, length))).toBe('DamagedSnapshot')
    }
    expect(await damage(path, Uint8Array.of(...bytes, 0))).toBe('DamagedSnapshot')
    expect(await damage(path, bytes)).toBe(null)
  })

  test('is refused when any one bit of it is flipped', async () => {
    const { path } = await writeSample(facts)
    const bytes = new Uint8Array(readFileSync(path))
    for (let at = 0; at < bytes.length; at += STRIDE) {
      bytes[at] ^= 1 << (at % 8)
      expect(await damage(path, bytes), `byte ${at}`).toBe('DamagedSnapshot')
      bytes[at] ^= 1 << (at % 8)
    }
  })

  test('is refused with the name of the file and the number of the damaged block', async () => {
    const { path } = await writeSample(sampleFacts({ rows: 100_000, dim: 16 }))
    const bytes = readFileSync(path)
    bytes[4.5 * MiB] ^= 1
    writeFileSync(path, bytes)
    const refusal = await readSnapshot(path, allocate).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(StoredDataRefusal)
    expect((refusal as Error).message).toMatch(
      /^\/.*\.safetensors: the snapshot is damaged: block 4 of 7 .*; restore the file/,
    )
  })

  test('of a later format is refused with an error that says so', async () => {
    const { path } = await writeSample(facts)
    const text = readFileSync(path, 'latin1').replace('"gatherd_snapshot":"1"', '"gatherd_snapshot":"2"')
    expect(await damage(path, Buffer.from(text, 'latin1'))).toBe('UnknownFormat')
  })

  test('that was damaged before its checksums were computed is either read or refused, without any other error', async () => {
    const { path, written } = await writeSample(facts)
    const original = new Uint8Array(readFileSync(path))
    const headerBytes = 8 + Number(new DataView(original.buffer).getBigUint64(0, true))
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(original.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
        async (changes) => {
          const bytes = original.slice()
          for (const [at, value] of changes) bytes[at] = value
          const view = new DataView(bytes.buffer)
          const sumsAt = bytes.length - 12
          view.setUint32(sumsAt, crc32(bytes.subarray(0, headerBytes)), true)
          view.setUint32(sumsAt + 4, crc32(bytes.subarray(headerBytes, sumsAt)), true)
          view.setUint32(sumsAt + 8, crc32(bytes.subarray(sumsAt, sumsAt + 8)), true)
          const outcome = await damage(path, bytes)
          expect([null, 'DamagedSnapshot', 'UnknownFormat']).toContain(outcome)
        },
      ),
      { numRuns: runsOf({ quick: 30, long: 300 }) },
    )
    expect(written.bytes).toBe(original.length)
  })

  test('is distinguished from one that is missing, cut, or replaced, by the facts in its listing', async () => {
    const { folder, path, written } = await writeSample(facts)
    const listed = sampleSnapshot({ ...written, startSequence: 7, stateKind: 'adam' })
    expect(await classifySnapshot(folder, listed)).toBe('valid')
    for (const change of [
      { tableId: 2 },
      { version: 2 },
      { startSequence: 8 },
      { stateKind: null },
      { bytes: written.bytes - 1 },
    ]) {
      expect(await classifySnapshot(folder, { ...listed, ...change })).toBe('damaged')
    }
    const bytes = readFileSync(path)
    writeFileSync(path, bytes.subarray(0, -1))
    expect(await classifySnapshot(folder, listed)).toBe('cut')
    bytes[20] ^= 1
    writeFileSync(path, bytes)
    expect(await classifySnapshot(folder, listed)).toBe('damaged')
    rmSync(path)
    expect(await classifySnapshot(folder, listed)).toBe('missing')
  })

  test('is detected by the SHA-256 even when every block checksum is right', async () => {
    const { path, written } = await writeSample(facts)
    const other = await writeSample({ ...facts, startSequence: 8 })
    renameSync(other.path, path)
    expect(await refusalOfAsync(() => verifySnapshot(path, written.sha256))).toBe('DamagedSnapshot')
  })

  test('that is a symbolic link or a directory is refused', async () => {
    const { folder, path } = await writeSample(facts)
    symlinkSync(path, join(folder, 'link'))
    mkdirSync(join(folder, 'directory'))
    for (const name of ['link', 'directory'])
      expect(await refusalOfAsync(() => inspectSnapshot(join(folder, name)))).toBe('DamagedSnapshot')
    expect(await refusalOfAsync(() => inspectSnapshot(join(folder, 'none')))).toBe('MissingFile')
  })
})

describe('Writing a snapshot', () => {
  test('leaves no file behind when it is aborted or fails', async () => {
    const folder = makeFolder()
    const facts = sampleFacts({ rows: 100_000, dim: 16 })
    const memory = allocate(facts, 8 * MiB)
    const abort = new AbortController()
    const writing = writeSnapshot(folder, facts, memory, abort.signal)
    setImmediate(() => abort.abort(new Error('the table is gone')))
    await expect(writing).rejects.toThrow('the table is gone')
    expect(readdirSync(folder)).toEqual([])
    await expect(writeSnapshot(join(folder, 'none'), facts, memory)).rejects.toThrow('ENOENT')
  })

  test('continues after a short write, and fails at a write of zero bytes', async () => {
    const file = Buffer.alloc(10)
    const write = (limit: number) => async (bytes: Uint8Array, from: number, count: number, at: number) => {
      const bytesWritten = Math.min(count, limit)
      file.set(bytes.subarray(from, from + bytesWritten), at)
      return { bytesWritten, buffer: bytes }
    }
    await writeAll(
      { write: write(3) } as unknown as Parameters<typeof writeAll>[0],
      Buffer.from('abcdefgh'),
      2,
    )
    expect(file.toString('latin1')).toBe('\0\0abcdefgh')
    await expect(
      writeAll({ write: write(0) } as unknown as Parameters<typeof writeAll>[0], Buffer.from('abc'), 0),
    ).rejects.toMatchObject({
      code: 'ENOSPC',
    })
  })

  test('that a crash interrupted leaves files that the next sweep removes, because no listing names them', async () => {
    const folder = makeFolder()
    for (const name of ['a.safetensors', 'b.safetensors', 'c.tmp', 'README'])
      writeFileSync(join(folder, name), '')
    expect((await sweepSnapshots(folder, new Set(['b.safetensors']))).toSorted()).toEqual([
      'a.safetensors',
      'c.tmp',
    ])
    expect(readdirSync(folder).toSorted()).toEqual(['README', 'b.safetensors'])
  })
})
