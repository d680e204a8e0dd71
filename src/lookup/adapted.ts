import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { AdapterHandle } from '../tables/handles.ts'
import type { LookupRequest } from './request.ts'

/**
 * Refuses what rows with an adapter cannot be: DTYPE_MISMATCH for rows as they are stored, BATCH_TOO_LARGE for more arithmetic than one
 * lookup gets.
 */
export const checkAdapted = (
  { rank }: AdapterHandle,
  { options, indices }: LookupRequest,
  dim: number,
): void => {
  if (options.dtype === 'native') {
    refuse(
      'DTYPE_MISMATCH',
      'the table has a LoRA adapter, which is added in float32: ask for float32, float16 or bfloat16',
      {
        errors: [{ pointer: '/dtype', detail: 'not as stored while an adapter is attached' }],
      },
    )
  }
  const terms = indices.length * dim * rank
  if (terms > LIMITS.adaptedProductCountMax) {
    refuse(
      'BATCH_TOO_LARGE',
      `${indices.length} rows of ${dim} with an adapter of rank ${rank} are ${terms} products, the limit is ${LIMITS.adaptedProductCountMax}`,
    )
  }
}
