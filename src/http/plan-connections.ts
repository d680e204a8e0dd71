/** How many connections an HTTP worker may have open. */
import { LIMITS } from '../core/limits.ts'

/**
 * Returns how many connections each HTTP worker may have open. The service and its threads keep what they
 * need, and a quarter of the rest is for files: the store, snapshots, and parts of uploads.
 */
export const planConnections = (
  descriptorMax: number,
  threads: { http: number; compute: number },
): number => {
  const kept = LIMITS.descriptorsKept + LIMITS.descriptorsKeptPerThread * (threads.http + threads.compute)
  const each = Math.floor(((descriptorMax - kept) * 0.75) / threads.http)
  return Math.max(1, Math.min(LIMITS.connectionCountMax, each))
}
