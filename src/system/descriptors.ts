/** How many file descriptors the process may have open, and how many of them connections may take. */
import { readFileSync } from 'node:fs'
import { LIMITS } from '../core/limits.ts'

/** Returns the limit of this process, which is Infinity where the system does not tell. */
export const readDescriptorMax = (): number => {
  try {
    const [, soft] = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft)
  } catch {
    return Infinity
  }
}

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
