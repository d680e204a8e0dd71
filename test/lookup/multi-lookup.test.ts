import { describe, expect, test } from 'vitest'
import { GatherdError } from '../../src/core/errors.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { readSafetensors, writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { ResponseBuffers } from '../../src/lookup/buffers.ts'
import type { LookupServices } from '../../src/lookup/lookup.ts'
import {
  decodeNamedTensors,
  joinJson,
  joinTensors,
  type MaskedAnswer,
  type NamedLookup,
  refuseRepeatedTables,
  runLookups,
} from '../../src/lookup/multi-lookup.ts'

const body = (...tensors: [name: string, ids: number[]][]): Buffer => {
  const { header } = writeSafetensorsHeader(
    tensors.map(([name, ids]) => ({ name, elementType: 'int32' as const, shape: [ids.length] })),
  )
  return Buffer.concat([header, ...tensors.map(([, ids]) => Buffer.from(Int32Array.from(ids).buffer))])
}
const named = (table: string): NamedLookup => {
  return {
    table,
    request: { indices: Int32Array.of(0), shape: [1], options: {} },
    pointer: `/lookups/${table}`,
  }
}
const answer = (bytes: Buffer, releases: number[] = []): MaskedAnswer => {
  const release = () => releases.push(bytes.length)
  return {
    body: { bytes, release },
    mediaType: 'x',
    version: 1,
    sequence: 0,
    shape: [bytes.length / 4],
    elementType: 'float32',
    mask: null,
  }
}
const services = { buffers: new ResponseBuffers(0) } as LookupServices

describe('Named tensors', () => {
  test('are parsed as the lookups of their tables, bags included', () => {
    const lookups = decodeNamedTensors(
      'safetensors',
      body(['user/indices', [3, 1]], ['user/offsets', [0, 1]], ['word/indices', [7]]),
      { pooling: 'sum' },
    )
    expect(lookups.map(({ table, pointer }) => [table, pointer])).toEqual([
      ['user', '/user'],
      ['word', '/word'],
    ])
    expect(lookups[0].request).toMatchObject({
      indices: Int32Array.of(3, 1),
      offsets: { values: Int32Array.of(0, 1) },
      options: { pooling: 'sum' },
    })
    expect(lookups[1].request.offsets).toBeUndefined()
  })

  test('share version and options, but for a last offset where others have offsets', () => {
    const options = { version: 4, pooling: 'sum' as const, include_last_offset: true }
    const flat = body(['user/indices', [3, 1]], ['user/offsets', [0, 2]], ['word/indices', [7]])
    const lookups = decodeNamedTensors('safetensors', flat, options)
    expect(lookups.map(({ version, request }) => [version, request.options])).toEqual([
      [4, { pooling: 'sum', include_last_offset: true }],
      [4, { pooling: 'sum' }],
    ])
    const [alone] = decodeNamedTensors('safetensors', body(['word/indices', [7]]), options)
    expect(alone.request.options.include_last_offset).toBe(true)
  })

  test.each([
    ['no table in the name', body(['indices', [1]]), undefined],
    ['more than a table in the name', body(['a/b/indices', [1]]), undefined],
    ['something else of a table', body(['user/indices', [1]], ['user/gradients', [1]]), '/user'],
    [
      'offsets of a table without indices',
      body(['user/indices', [1]], ['word/offsets', [0]]),
      '/word/indices',
    ],
  ])('are refused with %s', (_what, bytes, pointer) => {
    const errors = pointer === undefined ? {} : { errors: [expect.objectContaining({ pointer })] }
    expect(() => decodeNamedTensors('safetensors', bytes, {})).toThrowError(
      expect.objectContaining({ code: 'INVALID_REQUEST', ...errors }),
    )
  })
})

describe('Lookups in several tables', () => {
  test('run in order, and fail together with the position of the first failure', async () => {
    const releases: number[] = []
    const ran: string[] = []
    const run = ({ table }: NamedLookup) => {
      ran.push(table)
      if (table === 'c')
        throw new GatherdError('INDEX_OUT_OF_RANGE', 'no', {
          errors: [{ pointer: '/indices/0', detail: 'no' }],
        })
      return answer(Buffer.alloc(8), releases)
    }
    const failure = runLookups(['a', 'b', 'c', 'd'].map(named), run)
    await expect(failure).rejects.toMatchObject({
      code: 'INDEX_OUT_OF_RANGE',
      errors: [{ pointer: '/lookups/c/indices/0' }],
    })
    expect(ran).toEqual(['a', 'b', 'c'])
    expect(releases).toEqual([8, 8])
  })

  test('fail with the position of the lookup when an error has none', async () => {
    const failure = runLookups([named('a')], () => {
      throw new GatherdError('TABLE_NOT_FOUND', 'no such table')
    })
    await expect(failure).rejects.toMatchObject({
      code: 'TABLE_NOT_FOUND',
      errors: [{ pointer: '/lookups/a', detail: 'no such table' }],
    })
  })

  test('are limited in number and in bytes', async () => {
    const many = Array.from({ length: LIMITS.lookupTableCountMax + 1 }, (_, i) => named(`t${i}`))
    await expect(runLookups(many, () => answer(Buffer.alloc(4)))).rejects.toMatchObject({
      code: 'BATCH_TOO_LARGE',
    })
    const releases: number[] = []
    const half = LIMITS.lookupResponseBytesMax / 2
    const large = Buffer.alloc(half + 4)
    await expect(runLookups([named('a'), named('b')], () => answer(large, releases))).rejects.toMatchObject({
      code: 'BATCH_TOO_LARGE',
    })
    expect(releases).toEqual([half + 4, half + 4])
  })

  test('are answered in one JSON body', () => {
    const releases: number[] = []
    const joined = joinJson(services, [
      answer(Buffer.from('{"a":1}'), releases),
      answer(Buffer.from('{}'), releases),
    ])
    expect(joined.body.bytes.toString()).toBe('{"results":[{"a":1},{}]}')
    expect(releases).toEqual([7, 2])
    expect(joinJson(services, []).body.bytes.toString()).toBe('{"results":[]}')
  })

  test('are answered in tensors named after their tables, each table once', () => {
    const joined = joinTensors(
      services,
      [named('a'), named('b')],
      [answer(Buffer.alloc(8, 1)), answer(Buffer.alloc(4, 2))],
      'safetensors',
    )
    const tensors = readSafetensors(joined.body.bytes)
    expect(Array.from(tensors, ([name, { shape, data }]) => [name, shape, data[0]])).toEqual([
      ['a/embeddings', [2], 1],
      ['b/embeddings', [1], 2],
    ])
    const masked = joinTensors(
      services,
      [named('a'), named('b')],
      [
        { ...answer(Buffer.alloc(8, 1)), mask: { bytes: Uint8Array.of(1, 0), shape: [2] } },
        answer(Buffer.alloc(4)),
      ],
      'safetensors',
    )
    expect(readSafetensors(masked.body.bytes).get('a/mask')).toMatchObject({
      elementType: 'uint8',
      shape: [2],
      data: Uint8Array.of(1, 0),
    })
    expect(() => refuseRepeatedTables([named('a'), named('b')], 'safetensors')).not.toThrow()
    expect(() => refuseRepeatedTables([named('a'), named('b'), named('a')], 'safetensors')).toThrowError(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    )
  })
})
