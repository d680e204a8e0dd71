/** The rules about dependencies, and about the scripts and files that pages name. */
import type { Violations } from './rules.ts'

/** The members of package.json that the rules read. */
export interface PackageFile {
  scripts: Record<string, string>
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

/** The members of package-lock.json that the rules read. */
export interface LockFile {
  packages: Record<string, LockedPackage>
}

interface LockedPackage {
  integrity?: string
  resolved?: string
  hasInstallScript?: boolean
  optionalDependencies?: Record<string, string>
}

const dependenciesOf = (file: PackageFile): Record<string, string> => ({
  ...file.dependencies,
  ...file.optionalDependencies,
  ...file.devDependencies,
})

/** Finds dependencies whose version is a range. */
export const findLooseVersions = (file: PackageFile): Violations =>
  Object.entries(dependenciesOf(file))
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `${name}: ${version} is not exact`)

/** Finds locked packages that run code when installed, have no checksum, or name a host. */
export const findUnsafeLocks = (lock: LockFile): Violations =>
  Object.entries(lock.packages).flatMap(([path, entry]) => {
    if (path === '') return []
    if (entry.hasInstallScript) return [`${path}: has an install script`]
    if (entry.integrity === undefined) return [`${path}: has no checksum`]
    return entry.resolved === undefined ? [] : [`${path}: names the host it came from`]
  })

/**
 * Finds optional packages, mostly builds for other platforms, that a locked package names and the lock lacks.
 * `npm ci` refuses such a lock.
 */
export const findMissingOptionals = (lock: LockFile): Violations =>
  Object.entries(lock.packages).flatMap(([path, entry]) =>
    Object.keys(entry.optionalDependencies ?? {})
      .filter(
        (name) =>
          !(`node_modules/${name}` in lock.packages) && !(`${path}/node_modules/${name}` in lock.packages),
      )
      .map((name) => `${path}: ${name} is not locked`),
  )

/** Finds dependencies that no table row of the page of decisions names. */
export const findUnexplained = (file: PackageFile, page: string): Violations => {
  const rows = page.split('\n').filter((line) => line.startsWith('|'))
  return Object.keys(dependenciesOf(file))
    .filter((name) => !rows.some((row) => row.includes(`\`${name}\``)))
    .map((name) => `${name}: no row says why it is here`)
}

/** Finds each `npm run NAME` on a page for which package.json has no script. */
export const findUnknownScripts = (file: PackageFile, page: string): Violations =>
  [...page.matchAll(/\bnpm run ([\w:-]+)/g)]
    .map((match) => match[1] ?? '')
    .filter((name) => !(name in file.scripts))
    .map((name) => `npm run ${name}: no such script`)

/**
 * Finds paths of the repository in backticks on a page (`src/...`, also with a line after a colon) that do
 * not exist.
 */
export const findMissingPaths = (page: string, exists: (path: string) => boolean): Violations =>
  [...page.matchAll(/`((?:src|test|docs|load|examples|openapi|\.ci)\/[\w./-]*)/g)]
    .map((match) => match[1] ?? '')
    .filter((path) => !exists(path))
    .map((path) => `${path}: does not exist`)
