/** The result of a gather, which the encoders turn into an answer. */
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import type { Mask } from './mask.ts'

/** Gathered rows in the arena, ready to be encoded. */
export interface GatherResult {
  table: string
  version: number
  sequence: number
  shape: readonly number[]
  elementType: ElementType
  /** The place of the rows in the arena, and their length. */
  rowsAt: number
  byteCount: number
  mask: Mask | null
  /** Makes bytes that are put before a body of `bodyBytes` in the same buffer; octet-stream and JSON only. */
  writeHead?: (bodyBytes: number) => Uint8Array
}

/** Refuses BATCH_TOO_LARGE for JSON text longer than an answer may be. */
export const refuseLongText = (byteCount: number): void => {
  if (byteCount > LIMITS.lookupResponseBytesMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `as JSON the answer may take ${byteCount} bytes, the limit is ${LIMITS.lookupResponseBytesMax}; ` +
        `ask for a binary type`,
    )
  }
}
