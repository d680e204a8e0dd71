/**
 * The rule about which room of src may import which. Rooms that import only downwards can be read and tested
 * one at a time.
 */
import { findGraphCycles } from './imports.ts'
import type { Violations } from './rules.ts'
import type { SourceFile } from './source.ts'

/**
 * Lists which rooms of src may import which, from top to bottom. An arrow always points further down, and
 * every arrow is used. A room is a folder of src, or a file right below it. An entry names a room, or a
 * single file of one.
 */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  cli: [
    'main',
    'config',
    'settings',
    'writer/recovery/plan-version',
    'storage/catalog-rows',
    'storage/data-directory',
    'storage/disk-errors',
    'storage/open-store',
    'storage/recovery-plan',
    'storage/refusals',
    'storage/snapshot-read',
    'storage/store',
    'version',
    'optimizers',
    'formats',
    'core',
  ],
  main: [
    'http/http-workers',
    'writer/writer',
    'writer/recovery/start-progress',
    'storage/failpoints',
    'storage/refusals',
    'announcement',
    'config',
    'system',
    'core',
  ],
  http: [
    'attend',
    'upload',
    'export',
    'update',
    'lookup',
    'writer/client',
    'writer/writer',
    'workers',
    'config',
    'version',
    'tables',
    'optimizers',
    'formats',
    'layout',
    'system',
    'core',
  ],
  attend: ['lookup', 'workers', 'tables', 'kernels', 'formats', 'layout', 'core'],
  upload: [
    'writer/client',
    'writer/protocol',
    'tables',
    'optimizers',
    'kernels',
    'formats',
    'layout',
    'system',
    'core',
  ],
  export: [
    'writer/client',
    'writer/protocol',
    'tables',
    'optimizers',
    'formats',
    'kernels',
    'layout',
    'core',
  ],
  update: ['writer/client', 'writer/protocol', 'tables', 'formats', 'layout', 'core'],
  lookup: ['workers', 'tables', 'formats', 'kernels', 'layout', 'core'],
  writer: ['storage', 'tables', 'optimizers', 'kernels', 'layout', 'core'],
  storage: ['tables', 'optimizers', 'formats', 'layout', 'system', 'core'],
  workers: ['tables', 'core'],
  announcement: ['config', 'version'],
  config: ['options', 'settings', 'core'],
  options: ['settings', 'core'],
  settings: [],
  version: [],
  tables: ['kernels', 'layout', 'core'],
  optimizers: ['kernels', 'core'],
  formats: ['kernels', 'core'],
  kernels: ['layout', 'system', 'core'],
  layout: ['core'],
  system: [],
  core: [],
}

const roomOf = (path: string): string =>
  path
    .replace(/^src\//, '')
    .replace(/(\.as)?\.ts$/, '')
    .split('/')[0] ?? ''

/** Returns the references of a file to other rooms of src. */
const departuresOf = (file: SourceFile): readonly { target: string }[] =>
  file.references.filter(({ target }) => target.startsWith('src/') && roomOf(target) !== roomOf(file.path))

const names = (entry: string, target: string): boolean =>
  entry === roomOf(target) || entry === target.slice('src/'.length, -'.ts'.length)

/** Finds imports that no arrow allows. A room that the list does not have is a violation, too. */
export const findLayerViolations = (files: readonly SourceFile[], arrows: typeof ARROWS): Violations =>
  files.flatMap((file) => {
    const room = roomOf(file.path)
    const allowed = arrows[room]
    if (allowed === undefined) return [`${file.path}: the arrows do not know ${room}`]
    return departuresOf(file)
      .filter(({ target }) => !allowed.some((entry) => names(entry, target)))
      .map(({ target }) => `${file.path}: may not import ${target}`)
  })

/** Finds arrows that no import uses, because they would allow imports that were never decided on. */
export const findUnusedArrows = (files: readonly SourceFile[], arrows: typeof ARROWS): Violations =>
  Object.entries(arrows).flatMap(([room, allowed]) => {
    const targets = files.filter(({ path }) => roomOf(path) === room).flatMap(departuresOf)
    return allowed
      .filter((entry) => !targets.some(({ target }) => names(entry, target)))
      .map((entry) => `${room} -> ${entry}: no import uses this arrow`)
  })

/** Finds arrows that do not point down the list. */
export const findUpwardArrows = (arrows: typeof ARROWS): Violations => {
  const rooms = Object.keys(arrows)
  return Object.entries(arrows).flatMap(([room, allowed]) =>
    allowed
      .filter((entry) => rooms.indexOf(roomOf(entry)) <= rooms.indexOf(room))
      .map((entry) => `${room} -> ${entry}: does not point down`),
  )
}

/** Finds cycles of rooms that import each other, directly or through others. Each is a path. */
export const findRoomCycles = (files: readonly SourceFile[]): Violations => {
  const targetsOf = new Map<string, Set<string>>()
  for (const file of files) {
    const targets = targetsOf.get(roomOf(file.path)) ?? new Set()
    for (const { target } of departuresOf(file)) targets.add(roomOf(target))
    targetsOf.set(roomOf(file.path), targets)
  }
  return findGraphCycles(targetsOf)
}
