/** The rules about imports: frameworks, the environment, cycles and files that nothing imports. */
import type { Violations } from './rules.ts'
import { type SourceFile, type SyntaxNode, walkTree } from './source.ts'

/** The packages that only one place may import. */
export const SINGLE_IMPORTERS: readonly { packages: RegExp; allowed: RegExp }[] = [
  { packages: /^piscina$/, allowed: /^src\/workers\/pool\.ts$/ },
  { packages: /^(fastify|@fastify\/)/, allowed: /^src\/http\// },
  { packages: /^node:sqlite$/, allowed: /^src\/storage\// },
]

/** Finds imports of a package outside the one place for it. */
export const findStrayImports = (files: readonly SourceFile[], rules: typeof SINGLE_IMPORTERS): Violations =>
  files.flatMap((file) =>
    file.references
      .filter(({ specifier }) =>
        rules.some((rule) => rule.packages.test(specifier) && !rule.allowed.test(file.path)),
      )
      .map(({ specifier }) => `${file.path}: may not import ${specifier}`),
  )

/**
 * Finds importers of the function `name` of the file `origin` other than `allowed`. An import of the whole
 * module counts.
 */
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
/** Whether a node is `process`, or a member of that name (`globalThis.process`). */
const isProcess = (node: unknown): boolean =>
  isNamed(node, 'process') || isNamed((node as SyntaxNode).property, 'process')

/**
 * Finds files outside `allowed` that read the environment. To pass it whole to the function `reader` of the
 * first allowed file does not count.
 */
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

/** Finds the cycles of a graph, which is given as the targets of each node. Each cycle is a path. */
export const findGraphCycles = (targetsOf: ReadonlyMap<string, Iterable<string>>): Violations => {
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

/** Finds import cycles of files, imports of types included. To start a thread is not an import. */
export const findCycles = (files: readonly SourceFile[]): Violations =>
  findGraphCycles(
    new Map(
      files.map((file) => [
        file.path,
        file.references.filter(({ startsThread }) => !startsThread).map(({ target }) => target),
      ]),
    ),
  )

/**
 * Finds dead files, which no entry reaches by imports or worker URLs. AssemblyScript and declarations
 * (`.d.ts`) are excepted, because they are compiled and not imported.
 */
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
