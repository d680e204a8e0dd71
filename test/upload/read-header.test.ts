import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import { findNamedArrays } from '../../src/formats/format.ts'
import { UploadBody } from '../../src/upload/body.ts'
import { readHeader } from '../../src/upload/read-header.ts'

const MiB = 1024 * 1024
const format = findNamedArrays('safetensors')
/** The chunks of a body whose header announces `announcedBytes` and of which `chunkCount` MiB arrive. */
async function* chunks(announcedBytes: number, chunkCount: number): AsyncGenerator<Uint8Array> {
  const prefix = new Uint8Array(8)
  new DataView(prefix.buffer).setBigUint64(0, BigInt(announcedBytes), true)
  yield prefix
  for (let i = 0; i < chunkCount; i++) yield new Uint8Array(MiB)
}
const read = (announcedBytes: number, chunkCount: number, memory: { bytes: number }) =>
  readHeader(new UploadBody(chunks(announcedBytes, chunkCount)), format, memory, (header) => [
    header.length,
    memory.bytes,
  ])

describe('The header of an upload', () => {
  test('counts while it is in memory, if it is large, and not afterwards', async () => {
    const memory = { bytes: 0 }
    expect(await read(3 * MiB, 3, memory)).toEqual([3 * MiB + 8, 3 * MiB])
    expect(await read(MiB / 2, 1, memory)).toEqual([MiB / 2 + 8, 0])
    expect(memory.bytes).toBe(0)
  })

  test('is handed on as far as it came when the body ends inside it', async () => {
    expect(await read(90_000_000, 2, { bytes: 0 })).toEqual([2 * MiB + 8, 2 * MiB])
    expect(await read(1000, 0, { bytes: 0 })).toEqual([8, 0])
  })

  test('is refused when those of other uploads leave no room, by what has arrived and not by what was announced', async () => {
    const memory = { bytes: LIMITS.headerBytesInFlightMax - 2 * MiB }
    expect(await read(90_000_000, 2, memory)).toHaveLength(2)
    await expect(read(90_000_000, 3, memory)).rejects.toMatchObject({ code: 'OVERLOADED' })
    expect(memory.bytes).toBe(LIMITS.headerBytesInFlightMax - 2 * MiB)
  })
})
