/** File systems for the reliability tests: a disk whose state can be cut at a moment, and a small one. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { makeFolder } from './folders.ts'

const execute = promisify(execFile)

const run = (command: string, ...argv: string[]): void => {
  const { status, stderr, error } = spawnSync(command, argv, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${argv.join(' ')}: ${error?.message ?? stderr}`)
}

/** A mounted file system whose blocks lie in a file. */
export interface Mounted {
  directory: string
  unmount: () => void
}

const mountImage = (image: string, directory: string): Mounted => {
  mkdirSync(directory, { recursive: true })
  run('mount', '-o', 'loop', image, directory)
  return { directory, unmount: () => run('umount', directory) }
}

/**
 * A disk whose state can be copied at a moment. It is an ext4 file system in a file of another file system
 * that clones files at once.
 */
export interface CuttableDisk {
  directory: string
  /** Writes everything so far to the disk. */
  sync: () => void
  /**
   * Copies the state that a machine finds after it loses its power now: every block that was given to the
   * disk, and no other.
   */
  cut: () => Promise<string>
  /** Mounts such a state as the machine does when power returns. */
  mountCut: (image: string) => Mounted
  remove: () => void
}

const HOST_BYTES = 1024 * 1024 * 1024
const DISK_BYTES = 128 * 1024 * 1024

/** Makes such a disk. It needs root, mkfs.ext4, mkfs.xfs, mount and a loop device. */
export const makeCuttableDisk = (): CuttableDisk => {
  const folder = makeFolder()
  const opened = new DisposableStack()
  opened.defer(folder.remove)
  try {
    const hostImage = join(folder.path, 'host.img')
    run('truncate', '-s', String(HOST_BYTES), hostImage)
    run('mkfs.xfs', '-q', hostImage)
    const host = mountImage(hostImage, join(folder.path, 'host'))
    opened.defer(host.unmount)
    const image = join(host.directory, 'disk.img')
    run('truncate', '-s', String(DISK_BYTES), image)
    run('mkfs.ext4', '-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image)
    const disk = mountImage(image, join(folder.path, 'disk'))
    opened.defer(disk.unmount)
    let cutCount = 0
    return {
      directory: disk.directory,
      sync: () => run('sync', '-f', disk.directory),
      cut: async () => {
        const copy = join(host.directory, `cut-${cutCount++}.img`)
        await execute('cp', ['--reflink=always', image, copy])
        return copy
      },
      mountCut: (copy) => {
        const mounted = mountImage(copy, join(folder.path, 'cut'))
        return {
          directory: mounted.directory,
          unmount: () => {
            mounted.unmount()
            rmSync(copy)
          },
        }
      },
      remove: () => opened.dispose(),
    }
  } catch (error) {
    opened.dispose()
    throw error
  }
}

/** Mounts a file system of `bytes` bytes in memory. */
export const mountMemory = (bytes: number): Mounted => {
  const folder = makeFolder()
  run('mount', '-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder.path)
  return {
    directory: folder.path,
    unmount: () => {
      run('umount', folder.path)
      folder.remove()
    },
  }
}

/** Shows a folder at another place, where nothing can be written. */
export const mountReadOnly = (directory: string): Mounted => {
  const folder = makeFolder()
  run('mount', '--bind', '-o', 'ro', directory, folder.path)
  return {
    directory: folder.path,
    unmount: () => {
      run('umount', folder.path)
      folder.remove()
    },
  }
}
