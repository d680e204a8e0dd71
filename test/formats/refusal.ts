/** Helpers for tests of the formats: the code of a refusal, the fixtures, and bytes at odd addresses. */

import { readFileSync } from 'node:fs'
import { GatherdError } from '../../src/core/errors.ts'
import type { ErrorCode } from '../../src/core/errors.ts'

/**
 * The code and detail that `action` was refused with. Any error but a refusal with a 4xx status is thrown
 * again.
 */
export const refusalOf = (action: () => unknown): { code: ErrorCode | null; detail: string } => {
  try {
    action()
  } catch (error) {
    if (!(error instanceof GatherdError) || error.status < 400 || error.status > 499) throw error
    return { code: error.code, detail: error.message }
  }
  return { code: null, detail: '' }
}

export const codeOf = (action: () => unknown): ErrorCode | null => refusalOf(action).code

/** Reads a file of `fixtures/` into a plain Uint8Array at the start of its memory. */
export const readFixture = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`fixtures/${name}`, import.meta.url)))

/** Copies the bytes into a Buffer at an odd address, as chunks of a socket can be. */
export const misalign = (bytes: Uint8Array): Buffer => {
  const memory = new ArrayBuffer(bytes.length + 3)
  const shifted = Buffer.from(memory, 3, bytes.length)
  shifted.set(bytes)
  return shifted
}

/** The bytes of `typed`, which are little-endian on every machine that Node supports. */
export const bytesOf = (typed: ArrayBufferView): Uint8Array =>
  new Uint8Array(typed.buffer.slice(typed.byteOffset, typed.byteOffset + typed.byteLength) as ArrayBuffer)

/** The values of the fixtures of every element type: 0 to 5 in two rows. */
export const COUNTING: Record<string, ArrayBufferView> = {
  float64: new Float64Array([0, 1, 2, 3, 4, 5]),
  float32: new Float32Array([0, 1, 2, 3, 4, 5]),
  float16: new Float16Array([0, 1, 2, 3, 4, 5]),
  bfloat16: new Uint16Array([0, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0]),
  int8: new Int8Array([0, 1, 2, 3, 4, 5]),
  int16: new Int16Array([0, 1, 2, 3, 4, 5]),
  int32: new Int32Array([0, 1, 2, 3, 4, 5]),
  int64: new BigInt64Array([0n, 1n, 2n, 3n, 4n, 5n]),
  uint8: new Uint8Array([0, 1, 2, 3, 4, 5]),
  uint16: new Uint16Array([0, 1, 2, 3, 4, 5]),
  uint32: new Uint32Array([0, 1, 2, 3, 4, 5]),
  uint64: new BigUint64Array([0n, 1n, 2n, 3n, 4n, 5n]),
  // NumPy converts 0 to false and 1 to 5 to true.
  bool: new Uint8Array([0, 1, 1, 1, 1, 1]),
}
