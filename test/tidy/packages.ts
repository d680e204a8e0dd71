import type { Violations } from './rules.ts'

/** What the rules read of package.json. */
export interface PackageFile {
  scripts: Record<string, string>
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
  devDependencies?: Record<string, string>
}

/** What the rules read of package-lock.json. */
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

/** Dependencies whose version is a range. */
export const findLooseVersions = (file: PackageFile): Violations =>
  Object.entries(dependenciesOf(file))
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `${name}: ${version} is not exact`)

/** Locked packages that run code when installed, have no checksum, or name where they were fetched. */
export const findUnsafeLocks = (lock: LockFile): Violations =>
  Object.entries(lock.packages).flatMap(([path, entry]) => {
    if (path === '') return []
    if (entry.hasInstallScript) return [`${path}: has an install script`]
    if (entry.integrity === undefined) return [`${path}: has no checksum`]
    return entry.resolved === undefined ? [] : [`${path}: names the host it came from`]
  })

/**
 * Optional packages (mostly builds for other platforms) that a locked package names and the lock lacks: `npm
 * ci` refuses such a lock.
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

/** Dependencies that the page of decisions does not name in a table row. */
export const findUnexplained = (file: PackageFile, page: string): Violations => {
  const rows = page.split('\n').filter((line) => line.startsWith('|'))
  return Object.keys(dependenciesOf(file))
    .filter((name) => !rows.some((row) => row.includes(`\`${name}\``)))
    .map((name) => `${name}: no row says why it is here`)
}

/** `npm run NAME` on a page, where package.json has no such script. */
export const findUnknownScripts = (file: PackageFile, page: string): Violations =>
  [...page.matchAll(/\bnpm run ([\w:-]+)/g)]
    .map((match) => match[1] ?? '')
    .filter((name) => !(name in file.scripts))
    .map((name) => `npm run ${name}: no such script`)

/**
 * Paths of the repository in backticks on a page (`src/...`, also with a line after a colon)
 * that do not exist.
 */
export const findMissingPaths = (page: string, exists: (path: string) => boolean): Violations =>
  [...page.matchAll(/`((?:src|test|docs|load|examples|openapi|\.ci)\/[\w./-]*)/g)]
    .map((match) => match[1] ?? '')
    .filter((path) => !exists(path))
    .map((path) => `${path}: does not exist`)
