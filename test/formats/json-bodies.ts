/** Helpers for tests of the JSON reader: they read a tensor from its JSON, and the refusal of a body. */

import { GatherdError } from '../../src/core/errors.ts'
import { readJsonObject } from '../../src/formats/json-reader.ts'
import type { JsonLimits, JsonTensor } from '../../src/formats/json-reader.ts'

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Reads a tensor from its JSON, which becomes the member `indices` of a body. */
export const readTensor = (json: string, limits?: JsonLimits): JsonTensor =>
  readJsonObject(encode(`{"indices":${json}}`), ['indices'], limits).tensors.get('indices') as JsonTensor

/** The error that refused `action`, with its pointers. */
export const errorOf = (action: () => unknown): GatherdError => {
  try {
    action()
  } catch (error) {
    if (error instanceof GatherdError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

export const pointersOf = (action: () => unknown): string[] =>
  (errorOf(action).errors ?? []).map(({ pointer }) => pointer)
