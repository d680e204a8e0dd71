/** How many file descriptors the process may have open. */
import { readFileSync } from 'node:fs'

/** Returns the limit of this process, which is Infinity where the system does not tell. */
export const readDescriptorMax = (): number => {
  try {
    const [, soft] = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft)
  } catch {
    return Infinity
  }
}
