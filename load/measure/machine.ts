/** Describes the machine, the versions and the commit of a run, which every figure of it needs. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { join } from 'node:path'

export interface Machine {
  cpu: string
  coreCount: number
  memoryBytes: number
  kernel: string
}

export interface Versions {
  gatherd: string
  node: string
  autocannon: string
}

const ROOT_PATH = join(import.meta.dirname, '../..')

/** Describes the machine. */
export const describeMachine = (): Machine => ({
  cpu: cpus()[0]?.model.trim() ?? 'unknown',
  coreCount: availableParallelism(),
  memoryBytes: totalmem(),
  kernel: `${type()} ${release()}`,
})

/** Returns the versions of all programs of the run. */
export const describeVersions = (): Versions => ({
  gatherd: readVersion(join(ROOT_PATH, 'package.json')),
  node: process.version,
  autocannon: readVersion(join(ROOT_PATH, 'node_modules/autocannon/package.json')),
})

/**
 * The commit of the checkout, marked with `+` when tracked files differ from it; empty outside a repository.
 */
export function describeCommit(): string {
  const commit = askGit(['rev-parse', '--short=10', 'HEAD'])
  return commit === '' || askGit(['status', '--porcelain', '--untracked-files=no']) === ''
    ? commit
    : `${commit}+`
}

function askGit(args: string[]): string {
  try {
    return execFileSync('git', args, {
      cwd: ROOT_PATH,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  } catch {
    return ''
  }
}

const readVersion = (path: string): string =>
  (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
