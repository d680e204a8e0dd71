import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ElementType } from '../core/types.ts'
import type { Mask } from './mask.ts'

/** Rows that lie in an arena, ready to be written out. */
export interface GatherResult {
  table: string
  version: number
  sequence: number
  shape: readonly number[]
  elementType: ElementType
  /** Where the rows begin in the arena, and their bytes. */
  rowsAt: number
  byteCount: number
  mask: Mask | null
  /** Makes bytes to put before a body of so many, in the same buffer; octet-stream and JSON only. */
  writeHead?: (bodyBytes: number) => Uint8Array
}

/** Refuses BATCH_TOO_LARGE for JSON text that outgrows an answer. */
export const refuseLongText = (byteCount: number): void => {
  if (byteCount > LIMITS.lookupResponseBytesMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `as JSON the answer may take ${byteCount} bytes, the limit is ${LIMITS.lookupResponseBytesMax}; ` +
        `ask for a binary type`,
    )
  }
}
