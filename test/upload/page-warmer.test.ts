import { pbkdf2 } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { readRows } from '../../src/export/rows.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { PageWarmer, WARM_BLOCK_BYTES as BLOCK } from '../../src/upload/page-warmer.ts'
import { uploadTable } from '../../src/upload/upload.ts'
import { startTestWriter } from '../helpers/writer.ts'
import { bodyOf, bytesOf, cutAt, uploadOf } from './bodies.ts'

const MiB = 1024 * 1024

/** Keeps all threads of libuv's pool busy for a while, so that later work is delayed. */
const holdPool = () =>
  Promise.all(Array.from({ length: 4 }, () => promisify(pbkdf2)('a', 'b', 150_000, 64, 'sha512')))

/** Waits long enough for an idle pool to do its queued work. */
const letPoolWork = async () => {
  for (let i = 0; i < 20; i++) await stat('.')
}

const makeSegment = (blocks: number) => new TableMemory(256 * MiB).allocate(blocks, BLOCK).segments[0].memory

test('A warmer makes the loader wait for the block under way, and for no other', async () => {
  const memory = makeSegment(8)
  const pool = holdPool()
  const warmer = new PageWarmer(memory, 8 * BLOCK)
  expect(warmer.prepare(65_536), 'the block begins behind the next one').toBeNull()
  expect(warmer.prepare(BLOCK)).toBeNull()
  const done = warmer.prepare(BLOCK + 65_536 + 1)
  expect(done).toBeInstanceOf(Promise)
  await done
  await pool
  warmer.close()
})

test('A warmer touches only pages between the loader and the end of the rows', async () => {
  const memory = makeSegment(8)
  const bytes = new Uint8Array(memory.buffer).fill(7)
  const warmer = new PageWarmer(memory, 4 * BLOCK)
  warmer.prepare(65_536)
  await expect.poll(() => bytes[ROWS_AT + 4 * BLOCK - 1]).toBe(0)
  const isWarm = (at: number) => bytes[ROWS_AT + at] === 0
  expect([0, 65_536, 65_535 + BLOCK, 65_536 + BLOCK, 4 * BLOCK - 1, 4 * BLOCK].map(isWarm)).toEqual([
    false,
    false,
    false,
    true,
    true,
    false,
  ])
  warmer.close()
})

test('A warmer stays a few blocks ahead of the loader, and stops when it is closed', async () => {
  const memory = makeSegment(16)
  const bytes = new Uint8Array(memory.buffer).fill(7)
  const warmer = new PageWarmer(memory, 16 * BLOCK)
  warmer.prepare(0)
  await expect.poll(() => bytes[ROWS_AT + 5 * BLOCK - 1]).toBe(0)
  await letPoolWork()
  expect(bytes[ROWS_AT + 5 * BLOCK]).toBe(7)
  warmer.close()
  expect(warmer.prepare(4 * BLOCK)).toBeNull()
  await letPoolWork()
  expect(bytes[ROWS_AT + 5 * BLOCK]).toBe(7)
})

test('An upload that overtakes the warmer loses no numbers', async () => {
  const service = await startTestWriter()
  const arena = new Arena(MiB)
  const values = new Float32Array(6 * MiB)
  for (let i = 0; i < values.length; i++) values[i] = i + 1
  const pool = holdPool()
  const pieces = cutAt(
    bytesOf(values),
    Array.from({ length: 383 }, (_, i) => (i + 1) * 65_536),
  )
  await uploadTable(service.client, arena, uploadOf('raw', bodyOf(...pieces), { rows: 6144, dim: 1024 }))
  await pool
  await letPoolWork()
  const { current } = service.client.registry.find('user')
  const { values: found } = readRows(current, new Arena(64 * MiB), 0, 6144)
  expect(Buffer.compare(bytesOf(found), bytesOf(values))).toBe(0)
  await service.close()
})
