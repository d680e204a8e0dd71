/** Reads the scheduler slices of threads from /proc. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { release } from 'node:os'

/** The shortest scheduler slice that a thread can request. */
export const SHORT_SLICE_NS = 100_000

/**
 * Returns the slice of each thread below a folder of /proc, in nanoseconds. Returns null on a system that
 * does not report slices, or where a thread cannot request one (Linux before 6.12).
 */
export const readSlices = (folder: string): number[] | null => {
  const [major, minor] = release().split('.').map(Number)
  if (!existsSync(`${folder}/sched`) || major < 6 || (major === 6 && minor < 12)) return null
  const paths = [...globSync(`${folder}/task/*/sched`)]
  const slices = (paths.length > 0 ? paths : [`${folder}/sched`]).map((path) => {
    try {
      return Number(/se\.slice\s*:\s*(\d+)/.exec(readFileSync(path, 'utf8'))?.[1])
    } catch {
      return NaN
    }
  })
  return slices.some(Number.isInteger) ? slices : null
}
