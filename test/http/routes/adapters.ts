/**
 * Requests and a reference for tests of adapters: safetensors bodies, PUT of an adapter, and adapted rows.
 */

import { ELEMENT_BYTES, type ElementType } from '../../../src/core/types.ts'
import { readSafetensors, writeSafetensorsHeader } from '../../../src/formats/safetensors.ts'
import type { Service } from '../../helpers/service.ts'

/** An array of a safetensors body. */
export interface Sent {
  shape: number[]
  values: ArrayLike<number>
  elementType?: ElementType
}

const SAFETENSORS = 'application/x-safetensors'

const encode = (elementType: ElementType, values: ArrayLike<number>): Uint8Array => {
  switch (elementType) {
    case 'float16':
      return new Uint8Array(Float16Array.from(values).buffer)
    case 'bfloat16':
      return new Uint8Array(
        Uint16Array.from(new Uint32Array(Float32Array.from(values).buffer), (bits) => bits >>> 16).buffer,
      )
    case 'float64':
      return new Uint8Array(Float64Array.from(values).buffer)
    case 'int64':
      return new Uint8Array(BigInt64Array.from(Array.from(values), BigInt).buffer)
    case 'int32':
      return new Uint8Array(Int32Array.from(values).buffer)
    default:
      return new Uint8Array(Float32Array.from(values).buffer)
  }
}

/**
 * Encodes arrays as a safetensors body in the given order. bfloat16 values are truncated, so they should be
 * exact.
 */
export const encodeTensors = (tensors: Record<string, Sent>): Buffer => {
  const list = Object.entries(tensors).map(([name, { shape, values, elementType = 'float32' }]) => ({
    name,
    shape,
    elementType,
    values,
  }))
  for (const { values, elementType, shape } of list) {
    const bytes = encode(elementType, values).length
    if (bytes !== shape.reduce((product, size) => product * size, ELEMENT_BYTES[elementType]))
      throw new Error('values have the shape')
  }
  return Buffer.concat([
    writeSafetensorsHeader(list).header,
    ...list.map(({ elementType, values }) => encode(elementType, values)),
  ])
}

/** Sends an adapter to the table `t`. */
export const putAdapter = (service: Service, tensors: Record<string, Sent>, query = '', headers = {}) =>
  service.app.inject({
    method: 'PUT',
    url: `/v1/tables/t/lora${query}`,
    payload: encodeTensors(tensors),
    headers: { 'content-type': SAFETENSORS, ...headers },
  })

/** Looks rows of the table `t` up and returns their float32 numbers. */
export const lookUp = async (service: Service, ids: number[], query = ''): Promise<Float32Array> => {
  const answer = await service.app.inject({
    method: 'POST',
    url: `/v1/tables/t/lookup${query}`,
    payload: encodeTensors({ indices: { shape: [ids.length], values: ids, elementType: 'int32' } }),
    headers: { 'content-type': SAFETENSORS, accept: SAFETENSORS },
  })
  if (answer.statusCode !== 200) throw new Error(answer.body)
  const { data } = readSafetensors(answer.rawPayload).get('embeddings') ?? { data: new Uint8Array() }
  return new Float32Array(data.slice().buffer)
}

/** Numbers between -2 and 2 that `seed` determines, each exact in float16 and bfloat16. */
export const numbers = (count: number, seed: number): Float32Array => {
  let state = seed | 1
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >> 25) / 32
  })
}

export interface Adapter {
  a: Float32Array
  b: Float32Array
  rank: number
  alpha: number
}

/**
 * Adds fround(alpha / rank) * A[ids[i]] . B to base[i], with every operation rounded to float32. A negative
 * id leaves its row unchanged.
 */
export const adapt = (
  base: Float32Array,
  ids: readonly number[],
  dim: number,
  { a, b, rank, alpha }: Adapter,
): Float32Array => {
  const scale = Math.fround(alpha / rank)
  return base.map((value, at) => {
    const id = ids[Math.floor(at / dim)]
    if (id < 0) return value
    let sum = 0
    for (let j = 0; j < rank; j++)
      sum = Math.fround(sum + Math.fround(a[id * rank + j] * b[j * dim + (at % dim)]))
    return value + Math.fround(scale * sum)
  })
}
