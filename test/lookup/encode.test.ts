import { describe, expect, test } from 'vitest'
import { readNpy } from '../../src/formats/npy.ts'
import { readSafetensors } from '../../src/formats/safetensors.ts'
import { arrayHeaders, checkEncoding, type Encoding, encodeAnswer } from '../../src/lookup/encode.ts'
import type { GatherResult } from '../../src/lookup/print.ts'
import { createLookupServices } from '../../src/lookup/lookup.ts'

const { arena, buffers, printer } = createLookupServices(null)
const region = arena.reserve(64)
arena.float32.set([1, -0, 0.1, NaN], region.at / 4)

const gathered: GatherResult = {
  table: 'words',
  version: 3,
  sequence: 17,
  shape: [2, 2],
  elementType: 'float32',
  rowsAt: region.at,
  byteCount: 16,
  mask: { bytes: Uint8Array.of(1, 0), shape: [2] },
}
const encode = (encoding: Encoding, change: Partial<GatherResult> = {}) =>
  encodeAnswer({ ...gathered, ...change }, encoding, arena, buffers, printer)
const rows = Buffer.from(arena.bytes.slice(region.at, region.at + 16))

describe('An encoded lookup answer', () => {
  test('in JSON has the shortest decimals, null for NaN, and the mask', () => {
    const head = '{"table":"words","version":3,"sequence":17,"shape":[2,2],"dtype":"float32","embeddings":'
    expect(encode('json').body.bytes.toString()).toBe(`${head}[[1,-0],[0.1,null]],"mask":[true,false]}`)
    expect(encode('json', { mask: null }).body.bytes.toString()).toBe(`${head}[[1,-0],[0.1,null]]}`)
  })

  test('in raw has numbers that are described by headers', () => {
    const answer = encode('raw', { mask: null })
    expect(answer.body.bytes).toEqual(rows)
    expect(arrayHeaders(answer)).toEqual({ 'x-shape': '2,2', 'x-dtype': 'float32' })
  })

  test('in npy is one array', () => {
    const { elementType, shape, data } = readNpy(encode('npy', { mask: null }).body.bytes)
    expect({ elementType, shape, data: Buffer.from(data) }).toEqual({
      elementType: 'float32',
      shape: [2, 2],
      data: rows,
    })
  })

  test('in safetensors has the mask as bytes', () => {
    const tensors = readSafetensors(encode('safetensors').body.bytes)
    expect(Buffer.from(tensors.get('embeddings')?.data ?? [])).toEqual(rows)
    expect(tensors.get('mask')).toMatchObject({ elementType: 'uint8', shape: [2], data: Uint8Array.of(1, 0) })
    const ragged = { bytes: Uint8Array.of(1, 0, 1), shape: [2, -1], lengths: Int32Array.of(1, 2) }
    expect(readSafetensors(encode('safetensors', { mask: ragged }).body.bytes).get('mask')).toMatchObject({
      shape: [3],
    })
  })

  test('has a shape also without rows', () => {
    const none = { shape: [0, 3, 2], byteCount: 0, mask: null }
    expect(encode('json', none).body.bytes.toString()).toContain(
      '"shape":[0,3,2],"dtype":"float32","embeddings":[]}',
    )
    expect(readNpy(encode('npy', none).body.bytes).shape).toEqual([0, 3, 2])
    expect(readSafetensors(encode('safetensors', none).body.bytes).get('embeddings')?.shape).toEqual([
      0, 3, 2,
    ])
  })

  test('is a copy that later writes to the arena do not change', () => {
    const { body } = encode('raw', { mask: null })
    arena.float32[region.at / 4] = 99
    expect(body.bytes.readFloatLE(0)).toBe(1)
    arena.float32[region.at / 4] = 1
  })
})

describe('The encoding', () => {
  test.each<[Encoding, 'bfloat16' | 'float32', boolean, string]>([
    ['npy', 'bfloat16', false, 'NOT_ACCEPTABLE'],
    ['npy', 'float32', true, 'INVALID_REQUEST'],
    ['raw', 'float32', true, 'INVALID_REQUEST'],
  ])('%s of %s with a mask (%s) is refused', (encoding, elementType, mask, code) => {
    expect(() => checkEncoding(encoding, elementType, mask)).toThrowError(expect.objectContaining({ code }))
  })

  test('of every other combination is accepted', () => {
    checkEncoding('json', 'bfloat16', true)
    checkEncoding('safetensors', 'bfloat16', true)
    checkEncoding('raw', 'bfloat16', false)
    checkEncoding('npy', 'float32', false)
  })
})
