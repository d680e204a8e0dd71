/** A temporary file that holds what a file of another format was converted to. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A file in a directory of its own, until it is removed. */
export interface TemporaryFile {
  path: string
  remove: () => Promise<void>
}

/**
 * Makes the path of a temporary file and lets `fill` write it. When that fails, nothing is left behind. The
 * directory is that of the system (TMPDIR).
 */
export const makeTemporaryFile = async (
  name: string,
  fill: (path: string) => Promise<void>,
): Promise<TemporaryFile> => {
  const directory = await mkdtemp(join(tmpdir(), 'gatherd-put-'))
  const remove = (): Promise<void> => rm(directory, { recursive: true, force: true })
  const path = join(directory, name)
  try {
    await fill(path)
    return { path, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
