/** Notices that files which are open have been removed from their places, or replaced. */
import { statSync } from 'node:fs'

/** Files by path, each with its device and inode. */
export type FilePlaces = ReadonlyMap<string, { dev: number; ino: number }>

/** Notes which files are in these places. It does not open them, which would end SQLite's lock. */
export const notePlaces = (paths: readonly string[]): FilePlaces =>
  new Map(paths.map((path) => [path, statSync(path)]))

/** Tells of the first file that is not in its place any more; null if all are. */
export const describeMoved = (places: FilePlaces): string | null => {
  for (const [path, { dev, ino }] of places) {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found?.dev === dev && found.ino === ino) continue
    return `${path} is ${found === undefined ? 'missing' : 'another file'}: it was removed or replaced`
  }
  return null
}
