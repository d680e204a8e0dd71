/** Bodies of uploads in every format, cut into any pieces, for tests without HTTP. */

import type { Arena } from '../../src/tables/arena.ts'
import type { ElementType } from '../../src/core/types.ts'
import { readRows } from '../../src/export/rows.ts'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import type { WriterClient } from '../../src/writer/client.ts'
import type { Upload } from '../../src/upload/upload.ts'

/** The bytes of a typed array, which are little-endian on every machine that Node supports. */
export const bytesOf = (typed: ArrayBufferView): Uint8Array =>
  new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength)

export const npyBody = (elementType: ElementType, shape: number[], data: ArrayBufferView): Uint8Array =>
  Buffer.concat([writeNpyHeader(elementType, shape), bytesOf(data)])

interface Tensor {
  name: string
  elementType: ElementType
  shape: number[]
  data: ArrayBufferView
}

export const safetensorsBody = (...tensors: Tensor[]): Uint8Array =>
  Buffer.concat([writeSafetensorsHeader(tensors).header, ...tensors.map(({ data }) => bytesOf(data))])

/** A body that arrives in these pieces. `isClosed` is true after it was read to its end or stopped. */
export const bodyOf = (...pieces: Uint8Array[]): AsyncIterable<Uint8Array> & { isClosed: boolean } => {
  const left = [...pieces]
  const body = {
    isClosed: false,
    [Symbol.asyncIterator]: (): AsyncIterator<Uint8Array, undefined> => ({
      async next() {
        const value = left.shift()
        if (value !== undefined) return { done: false, value }
        body.isClosed = true
        return { done: true, value: undefined }
      },
      async return() {
        body.isClosed = true
        return { done: true, value: undefined }
      },
    }),
  }
  return body
}

/**
 * Cuts `bytes` at the ascending positions `cuts`. Each piece lies at an odd address, as chunks of a socket
 * may.
 */
export const cutAt = (bytes: Uint8Array, cuts: readonly number[]): Buffer[] =>
  [...cuts, bytes.length].map((end, i) => {
    const piece = bytes.subarray(cuts[i - 1] ?? 0, end)
    const shifted = Buffer.from(new ArrayBuffer(piece.length + 1), 1, piece.length)
    shifted.set(piece)
    return shifted
  })

/** An upload of one body in one piece, with default options. */
export const uploadOf = (
  format: Upload['format'],
  body: AsyncIterable<Uint8Array> | Uint8Array,
  wishes: Partial<Upload> = {},
): Upload => ({
  name: 'user',
  format,
  body: body instanceof Uint8Array ? bodyOf(body) : body,
  allowNonFinite: false,
  settings: {},
  precondition: {},
  ...wishes,
})

/** Reads the whole current table as float32. */
export const readAll = (client: WriterClient, arena: Arena, name = 'user'): number[] => {
  const { current } = client.registry.find(name)
  return Array.from(readRows(current, arena, 0, current.handle.rows).values)
}
