import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import type { Dtype } from '../../src/core/types.ts'
import { Arena } from '../../src/tables/arena.ts'
import { PAGE_BYTES } from '../../src/layout/table-layout.ts'
import { uploadTable } from '../../src/upload/upload.ts'
import { startTestWriter, type TestWriter } from '../helpers/writer.ts'
import { bodyOf, bytesOf, cutAt, npyBody, readAll, safetensorsBody, uploadOf } from './bodies.ts'
import { runsOf } from '../helpers/property-runs.ts'

let service: TestWriter
const arena = new Arena(8 * 1024 * 1024)
beforeEach(async () => {
  service = await startTestWriter()
})
afterEach(async () => {
  await service.close()
  expect(arena.reservedBytes, 'the stage is given back').toBe(0)
})

const upload = (...[format, body, wishes]: Parameters<typeof uploadOf>) =>
  uploadTable(service.client, arena, uploadOf(format, body, wishes))
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest())

const six = Float32Array.of(1, -2.5, 3e-40, 4, 5, 6)
const sixNpy = npyBody('float32', [3, 2], six)
const sixSafetensors = safetensorsBody(
  { name: 'before', elementType: 'uint8', shape: [5], data: Uint8Array.of(1, 2, 3, 4, 5) },
  { name: 'rows', elementType: 'float32', shape: [3, 2], data: six },
  { name: 'after', elementType: 'bfloat16', shape: [1, 1, 1], data: Uint16Array.of(0x7fc0) },
)

describe('An upload', () => {
  test('creates a table, and then replaces it by the next version', async () => {
    expect(await upload('npy', sixNpy)).toMatchObject({ created: true, version: 1 })
    expect(readAll(service.client, arena)).toEqual(Array.from(six))
    expect(await upload('raw', bytesOf(Float32Array.of(7)), { rows: 1, dim: 1 })).toMatchObject({
      created: false,
      version: 2,
    })
    expect(readAll(service.client, arena)).toEqual([7])
    expect(service.client.registry.find('user').current.handle).toMatchObject({
      version: 2,
      rows: 1,
      dim: 1,
      dtype: 'float32',
    })
  })

  test('of each format is stored equally wherever its body is cut in two', async () => {
    const bodies = [
      ['npy', sixNpy, {}],
      ['safetensors', sixSafetensors, {}],
      ['raw', bytesOf(six), { rows: 3, dim: 2 }],
    ] as const
    for (const [format, body, wishes] of bodies) {
      for (let cut = 0; cut <= body.length; cut++) {
        await upload(format, bodyOf(...cutAt(body, [cut])), wishes)
        expect(readAll(service.client, arena), `${format} cut at ${cut}`).toEqual(Array.from(six))
      }
    }
  })

  test('may arrive byte by byte, with empty pieces between', async () => {
    for (const [format, body] of [
      ['npy', sixNpy],
      ['safetensors', sixSafetensors],
    ] as const) {
      const single = cutAt(body, Array.from(body.keys()).slice(1)).flatMap((piece) => [
        new Uint8Array(0),
        piece,
      ])
      await upload(format, bodyOf(...single), { digest: sha256(body), contentLength: body.length })
      expect(readAll(service.client, arena)).toEqual(Array.from(six))
    }
  })

  test('frees its used chunks if the body allows it', async () => {
    const pieces = cutAt(sixNpy, [50, 131, 140]).map((piece) => new Uint8Array(piece))
    await upload('npy', bodyOf(...pieces), { freesChunks: true, digest: sha256(sixNpy) })
    expect(readAll(service.client, arena)).toEqual(Array.from(six))
    expect(pieces.map(({ length }) => length)).toEqual([0, 0, 0, 0])
  })

  test('of many segments is stored equally for any pieces in every dtype', async () => {
    await service.close()
    service = await startTestWriter({ segmentBytesMax: PAGE_BYTES })
    const [rows, dim] = [40, 2047]
    const values = Float32Array.from({ length: rows * dim }, (_, i) => Math.fround(Math.sin(i) * 100))
    const body = npyBody('float32', [rows, dim], values)
    for (const dtype of ['float32', 'float16', 'bfloat16', 'int8'] as Dtype[]) {
      await upload('npy', body, { dtype })
      const whole = readAll(service.client, arena)
      expect(service.client.registry.find('user').current.handle.segments.length).toBeGreaterThan(1)
      if (dtype === 'float32') expect(whole).toEqual(Array.from(values))
      const cutsOf = fc
        .array(fc.nat(body.length), { maxLength: 20 })
        .map((cuts) => cuts.sort((a, b) => a - b))
      await fc.assert(
        fc.asyncProperty(cutsOf, async (cuts) => {
          await upload('npy', bodyOf(...cutAt(body, cuts)), { dtype })
          expect(readAll(service.client, arena)).toEqual(whole)
        }),
        { numRuns: runsOf({ quick: 3, long: 15 }) },
      )
    }
  })

  test('of many megabytes is not corrupted by pages that are warmed ahead of it', async () => {
    const [rows, dim] = [24 * 1024, 256]
    const values = Float32Array.from({ length: rows * dim }, (_, i) => i + 1)
    await upload('raw', bytesOf(values), { rows, dim })
    const pieces = cutAt(
      bytesOf(values),
      Array.from({ length: 380 }, (_, i) => (i + 1) * 65_000),
    )
    await upload('raw', bodyOf(...pieces), { rows, dim, name: 'pieces' })
    for (const name of ['user', 'pieces']) {
      const found = Float32Array.from(readAll(service.client, arena, name))
      expect(Buffer.compare(bytesOf(found), bytesOf(values)), name).toBe(0)
    }
  })

  test('changes the given settings, and keeps the others', async () => {
    await upload('npy', sixNpy, { settings: { out_of_range: 'clip', padding_index: 1 } })
    await upload('npy', sixNpy, { settings: { padding_index: null } })
    expect(service.client.registry.find('user').record.settings).toMatchObject({
      out_of_range: 'clip',
      padding_index: null,
    })
  })

  test('may have no rows, but needs columns', async () => {
    await upload('npy', npyBody('float32', [0, 4], new Float32Array(0)))
    expect(service.client.registry.find('user').current.handle).toMatchObject({ rows: 0, dim: 4 })
    await expect(upload('npy', npyBody('float32', [4, 0], new Float32Array(0)))).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
    })
    await expect(upload('raw', new Uint8Array(0), { rows: 4, dim: 0 })).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
    })
  })
})

/**
 * Expects that an upload fails with `code`, releases its memory, stops its source and does not change the
 * table.
 */
const expectRefusal = async (
  wanted: { code?: string; message: RegExp },
  ...[format, body, wishes]: Parameters<typeof uploadOf>
) => {
  await upload('npy', sixNpy)
  const { reservedBytes } = service.writer.memory
  const { version } = service.client.registry.find('user').current.handle
  const source = body instanceof Uint8Array ? bodyOf(body) : body
  const error: unknown = await upload(format, source, wishes).catch((failure: unknown) => failure)
  expect(error).toBeInstanceOf(Error)
  expect((error as Error).message).toMatch(wanted.message)
  if (wanted.code !== undefined) expect((error as GatherdError).code).toBe(wanted.code)
  expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
  expect(arena.reservedBytes).toBe(0)
  expect(service.client.registry.find('user').current.handle.version).toBe(version)
  expect(readAll(service.client, arena)).toEqual(Array.from(six))
  if (source !== body) expect(source).toMatchObject({ isClosed: true })
}

describe('An upload is refused without a change', () => {
  test.each([1, 100, 128, 129, sixNpy.length - 1])('when its body ends after %i bytes', async (length) => {
    const message =
      length < 128
        ? new RegExp(`${length} bytes, expected`)
        : new RegExp(`must have 152 bytes, it ended after ${length}`)
    await expectRefusal({ code: 'MALFORMED_BODY', message }, 'npy', sixNpy.subarray(0, length))
  })

  test('when its body is longer than the table', async () => {
    const longer = Buffer.concat([sixNpy, Uint8Array.of(0)])
    await expectRefusal(
      { code: 'MALFORMED_BODY', message: /must have 152 bytes.*at least 153/ },
      'npy',
      longer,
    )
  })

  test('when its body is endless, without reading on', async () => {
    let isStopped = false
    const endless = {
      async *[Symbol.asyncIterator]() {
        try {
          for (;;) yield sixNpy
        } finally {
          isStopped = true
        }
      },
    }
    await expectRefusal({ code: 'MALFORMED_BODY', message: /it has at least/ }, 'npy', endless)
    expect(isStopped).toBe(true)
  })

  test('when the announced length differs, before memory is reserved', async () => {
    await expectRefusal({ code: 'MALFORMED_BODY', message: /152 bytes.*announced with 151/ }, 'npy', sixNpy, {
      contentLength: 151,
    })
    await service.close()
    service = await startTestWriter({ quotaBytes: 0 })
    const raw = upload('raw', new Uint8Array(0), { rows: 2 ** 30, dim: 1024, contentLength: 3 })
    await expect(raw).rejects.toMatchObject({ code: 'MALFORMED_BODY' })
  })

  test('when a safetensors body lacks bytes of another array', async () => {
    const short = sixSafetensors.subarray(0, -1)
    await expectRefusal({ code: 'MALFORMED_BODY', message: /ended after/ }, 'safetensors', short)
    await expectRefusal({ code: 'MALFORMED_BODY', message: /announces/ }, 'safetensors', short, {
      contentLength: short.length,
    })
  })

  test('when the digest differs, which is checked before the numbers', async () => {
    const bad = npyBody('float32', [1, 2], Float32Array.of(NaN, 1))
    await expectRefusal({ code: 'DIGEST_MISMATCH', message: /the announced one is/ }, 'npy', bad, {
      digest: sha256(sixNpy),
    })
    await expectRefusal({ code: 'NON_FINITE', message: /row 0, column 0/ }, 'npy', bad, {
      digest: sha256(bad),
    })
    expect(await upload('npy', sixNpy, { digest: sha256(sixNpy) })).toMatchObject({ created: false })
  })

  test('when a number is not finite, with the position of the first', async () => {
    const values = Float32Array.of(1, 2, 3, 4, 5, Infinity, NaN, 8, 9)
    await expectRefusal(
      { code: 'NON_FINITE', message: /row 1, column 2 .*float32/ },
      'npy',
      npyBody('float32', [3, 3], values),
    )
    const cut = bodyOf(...cutAt(bytesOf(values), [3, 21, 25]))
    await expectRefusal({ code: 'NON_FINITE', message: /row 1, column 2/ }, 'raw', cut, { rows: 3, dim: 3 })
  })

  test('when a finite number overflows 16 bits or float32', async () => {
    const large = npyBody('float32', [2, 1], Float32Array.of(1, 65_520))
    await expectRefusal({ code: 'NON_FINITE', message: /row 1, column 0 .*float16/ }, 'npy', large, {
      dtype: 'float16',
    })
    const larger = npyBody('float32', [1, 1], Float32Array.of(3.4e38))
    await expectRefusal({ code: 'NON_FINITE', message: /bfloat16/ }, 'npy', larger, { dtype: 'bfloat16' })
    await expectRefusal(
      { code: 'NON_FINITE', message: /float32/ },
      'npy',
      npyBody('float64', [1, 1], Float64Array.of(1e39)),
    )
  })

  test('when the source fails in the middle, as when a client disconnects', async () => {
    const gone = new Error('aborted')
    const broken = {
      async *[Symbol.asyncIterator]() {
        yield sixNpy.subarray(0, 140)
        throw gone
      },
    }
    await expectRefusal({ message: /^aborted$/ }, 'npy', broken)
  })

  test('when the precondition fails at the beginning or at the end', async () => {
    await expectRefusal({ code: 'PRECONDITION_FAILED', message: /If-None-Match/ }, 'npy', sixNpy, {
      precondition: { ifNoneMatch: ['*'] },
    })
    const overtaken = {
      async *[Symbol.asyncIterator]() {
        yield sixNpy.subarray(0, 140)
        await upload('npy', sixNpy)
        yield sixNpy.subarray(140)
      },
    }
    await expect(upload('npy', overtaken, { precondition: { ifMatch: ['1'] } })).rejects.toMatchObject({
      code: 'PRECONDITION_FAILED',
    })
    expect(service.client.registry.find('user').current.handle.version).toBe(2)
  })

  test('when it does not fit the quota', async () => {
    await service.close()
    service = await startTestWriter({ quotaBytes: 4 * PAGE_BYTES })
    await expectRefusal(
      { code: 'MEMORY_QUOTA_EXCEEDED', message: /quota|bytes/ },
      'raw',
      bytesOf(new Float32Array(1)),
      {
        rows: 100_000,
        dim: 1,
      },
    )
  })

  test('when the arena has no room for its buffer', async () => {
    const full = arena.reserve(arena.bytesMax - 1024)
    const { reservedBytes } = service.writer.memory
    await expect(upload('npy', sixNpy)).rejects.toMatchObject({ code: 'OVERLOADED' })
    expect(service.writer.memory.reservedBytes).toBe(reservedBytes)
    arena.release(full)
  })
})
