import { type SourceFile, type SyntaxNode, walkTree } from './source.ts'
import type { Violations } from './rules.ts'

/**
 * Which parts of src may import which: main -> http -> attend, upload, export -> lookup,
 * writer/client -> tables, workers -> kernels, formats -> core, system. cli -> main, and of the writer what checks a data directory.
 * A part is a folder, or a file right below src. An entry is a part, or a single file of one. The part itself is always allowed.
 */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  core: [],
  config: ['core'],
  formats: ['core', 'kernels'],
  system: [],
  kernels: ['core', 'system', 'tables/layout'],
  tables: ['core', 'kernels'],
  workers: ['core', 'kernels', 'formats', 'tables'],
  observe: ['core', 'tables'],
  lookup: ['core', 'kernels', 'formats', 'tables', 'workers'],
  attend: ['core', 'kernels', 'formats', 'tables', 'workers', 'lookup'],
  writer: ['core', 'kernels', 'formats', 'tables', 'workers', 'observe', 'config'],
  upload: ['core', 'kernels', 'formats', 'tables', 'writer/client', 'writer/protocol'],
  export: ['core', 'kernels', 'formats', 'tables', 'writer/client', 'writer/protocol'],
  version: [],
  cli: [
    'core',
    'formats',
    'version',
    'main',
    'writer/durable/catalog-rows',
    'writer/durable/data-directory',
    'writer/durable/open-store',
    'writer/durable/recovery-plan',
    'writer/durable/refusals',
    'writer/durable/snapshot-read',
    'writer/durable/store',
    'writer/recovery/plan-version',
  ],
  http: [
    'core',
    'system',
    'formats',
    'tables',
    'workers',
    'lookup',
    'attend',
    'upload',
    'export',
    'writer/client',
    'writer/protocol',
    'writer/request',
    'observe',
    'config',
    'version',
  ],
  orphan: [],
  'front-group': ['core', 'config', 'http/HTTP worker', 'writer/writer'],
  'start-progress': ['core', 'writer/recovery/recover'],
  main: [
    'core',
    'config',
    'version',
    'front-group',
    'start-progress',
    'orphan',
    'http',
    'writer',
    'lookup',
    'tables',
    'workers',
    'observe',
  ],
}

/** Packages that one place alone may import. */
export const SINGLE_IMPORTERS: readonly { packages: RegExp; allowed: RegExp }[] = [
  { packages: /^piscina$/, allowed: /^src\/workers\/pool\.ts$/ },
  { packages: /^(fastify|@fastify\/)/, allowed: /^src\/http\// },
  { packages: /^node:sqlite$/, allowed: /^src\/writer\// },
]

const partOf = (path: string): string =>
  path
    .replace(/^src\//, '')
    .replace(/(\.as)?\.ts$/, '')
    .split('/')[0] ?? ''

/** Imports against the arrows. A part that the arrows do not know is one too. */
export const findLayerViolations = (
  files: readonly SourceFile[],
  arrows: Readonly<Record<string, readonly string[]>>,
): Violations =>
  files.flatMap((file) => {
    const part = partOf(file.path)
    const allowed = arrows[part]
    if (allowed === undefined) return [`${file.path}: the arrows do not know ${part}`]
    return file.references
      .filter(({ target }) => target.startsWith('src/') && partOf(target) !== part)
      .filter(({ target }) => !allowed.includes(partOf(target)) && !allowed.includes(target.slice(4, -3)))
      .map(({ target }) => `${file.path}: may not import ${target}`)
  })

/** Imports of a package outside the one place for it. */
export const findStrayImports = (files: readonly SourceFile[], rules: typeof SINGLE_IMPORTERS): Violations =>
  files.flatMap((file) =>
    file.references
      .filter(({ specifier }) =>
        rules.some((rule) => rule.packages.test(specifier) && !rule.allowed.test(file.path)),
      )
      .map(({ specifier }) => `${file.path}: may not import ${specifier}`),
  )

/** Importers of the function `name` of the file `origin`, whole-module imports included, other than `allowed`. */
export const findStrayCallers = (
  files: readonly SourceFile[],
  origin: string,
  name: string,
  allowed: string,
): Violations =>
  files
    .filter((file) => file.path !== allowed)
    .filter((file) =>
      file.references.some(
        ({ target, names }) => target === origin && (names.includes(name) || names.includes('*')),
      ),
    )
    .map(({ path }) => `${path}: may not use ${name}, which is for ${allowed}`)

const isNamed = (node: unknown, name: string): boolean => (node as SyntaxNode | undefined)?.name === name
/** `process`, or a member so called (`globalThis.process`). */
const isProcess = (node: unknown): boolean =>
  isNamed(node, 'process') || isNamed((node as SyntaxNode).property, 'process')

/** Readers of the environment outside `allowed`. Handing it over whole, to the function `reader` of the first of them, is no reading. */
export const findEnvironmentReaders = (
  files: readonly SourceFile[],
  allowed: readonly string[],
  reader: string,
): Violations =>
  files
    .filter(({ path }) => !allowed.includes(path))
    .filter(({ tree, references }) => {
      if (
        references.some(
          ({ specifier, names }) => /^(node:)?process$/.test(specifier) && names.includes('env'),
        )
      )
        return true
      const nodes = tree === null ? [] : [...walkTree(tree)]
      const handed = nodes
        .filter((node) => node.type === 'CallExpression' && isNamed(node.callee, reader))
        .flatMap((node) => node.arguments)
      return nodes.some(
        (node) =>
          node.type === 'MemberExpression' &&
          isNamed(node.property, 'env') &&
          isProcess(node.object) &&
          !handed.includes(node),
      )
    })
    .map(({ path }) => `${path}: reads the environment, which is for ${allowed.join(', ')}`)

/** Import cycles, imports of types included; each as the path around it. Starting a thread is no import. */
export const findCycles = (files: readonly SourceFile[]): Violations => {
  const targetsOf = new Map(
    files.map((file) => [
      file.path,
      file.references.filter(({ startsThread }) => !startsThread).map(({ target }) => target),
    ]),
  )
  const done = new Set<string>()
  const cycles: Violations = []
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path)
    if (start >= 0) cycles.push([...trail.slice(start), path].join(' -> '))
    if (start >= 0 || done.has(path)) return
    for (const target of targetsOf.get(path) ?? []) visit(target, [...trail, path])
    done.add(path)
  }
  for (const path of targetsOf.keys()) visit(path, [])
  return cycles
}

/** Files that no entry reaches by imports or worker URLs: dead. AssemblyScript and declarations (`.d.ts`) are compiled, not imported. */
export const findUnreachable = (files: readonly SourceFile[], entries: readonly string[]): Violations => {
  const targetsOf = new Map(files.map((file) => [file.path, file.references.map(({ target }) => target)]))
  const reached = new Set<string>()
  const queue = [...entries]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    queue.push(...(targetsOf.get(path) ?? []))
  }
  const isModule = (file: SourceFile): boolean => file.tree !== null && !file.path.endsWith('.d.ts')
  return files
    .filter((file) => isModule(file) && !reached.has(file.path))
    .map(({ path }) => `${path}: nothing reaches it`)
}
