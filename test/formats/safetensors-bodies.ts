import { readSafetensors } from '../../src/formats/safetensors.ts'
import { codeOf } from './refusal.ts'

/** Parts as one body. */
export const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** A body with this header text, whatever it is, and `dataBytes` zeros. */
export const makeBody = (text: string | Uint8Array, dataBytes: number): Uint8Array => {
  const header = Buffer.from(text as string)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return join(length, header, new Uint8Array(dataBytes))
}
export const tensor = (dtype: string, shape: string, begin: number | string, end: number | string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`
export const codeOfBody = (text: string | Uint8Array, dataBytes: number): string | null =>
  codeOf(() => readSafetensors(makeBody(text, dataBytes)))
