import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { UploadBody } from '../../src/upload/body.ts'

const piecesOf = async function* (...pieces: Uint8Array[]) {
  yield* pieces
}

describe('The body of an upload', () => {
  test('returns its chunks, counts their bytes, and hashes them on request', async () => {
    const pieces = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)]
    const body = new UploadBody(piecesOf(...pieces), { hashesBytes: true })
    expect(Array.from((await body.next()) ?? [])).toEqual([1, 2])
    expect(body.receivedBytes).toBe(2)
    expect(Array.from((await body.next()) ?? [])).toEqual([3])
    expect(await body.next()).toBeNull()
    expect(await body.next()).toBeNull()
    expect(body.receivedBytes).toBe(3)
    expect(body.digest()).toEqual(
      createHash('sha256')
        .update(Uint8Array.of(1, 2, 3))
        .digest(),
    )
    expect(new UploadBody(piecesOf()).digest()).toBeNull()
  })

  test('returns an exact number of bytes, and buffers the rest', async () => {
    const body = new UploadBody(piecesOf(Uint8Array.of(1), Uint8Array.of(2, 3, 4, 5, 6)))
    expect(Array.from(await body.take(3))).toEqual([1, 2, 3])
    expect(Array.from(await body.take(0))).toEqual([])
    expect(Array.from(await body.take(1))).toEqual([4])
    expect(Array.from((await body.next()) ?? [])).toEqual([5, 6])
    expect(Array.from(await body.take(9))).toEqual([])
  })

  test('can free each chunk after its use, unless it shares its memory', async () => {
    const shared = new Uint8Array(8)
    const pieces = [new Uint8Array(3), shared.subarray(2, 4), new Uint8Array(5)]
    const [first, , last] = pieces
    const body = new UploadBody(piecesOf(...pieces), { freesChunks: true })
    await body.take(2)
    expect(first.length, 'a byte is left').toBe(3)
    await body.next()
    expect(first.length, 'the last byte is being used').toBe(3)
    await body.next()
    expect(first.length).toBe(0)
    await body.next()
    expect(shared.length).toBe(8)
    expect(last.length).toBe(5)
    await body.close()
    expect(last.length).toBe(0)
    const kept = new Uint8Array(3)
    const keeping = new UploadBody(piecesOf(kept))
    await keeping.take(4)
    await keeping.close()
    expect(kept.length).toBe(3)
  })

  test('stops its source once when it is closed early, and ignores errors of that', async () => {
    let stopCount = 0
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false as const, value: new Uint8Array(1) }),
        return: async () => {
          stopCount += 1
          throw new Error('already gone')
        },
      }),
    }
    const body = new UploadBody(source)
    await body.next()
    await body.close()
    await body.close()
    expect(stopCount).toBe(1)
    expect(await body.next()).toBeNull()
    const ended = new UploadBody(piecesOf())
    await ended.next()
    await ended.close()
  })
})
