/** Parses the source files of the repository and finds the imports of each, for the rules. */
import { readFileSync, globSync } from 'node:fs'
import { dirname, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAst } from 'vitest/node'

/** A node of the syntax tree (ESTree with the TypeScript nodes). */
export interface SyntaxNode {
  type: string
  start: number
  end: number
  [key: string]: unknown
}

/**
 * A reference from a file to another: an import, a re-export, `import()`, or a worker's
 * `new URL('./x.ts', import.meta.url)`.
 */
export interface Reference {
  /** The specifier as written. */
  specifier: string
  /** The path of the file that it names, or the specifier itself when it names a package. */
  target: string
  /** The imported names: `*` for a namespace, `default` for the default export. */
  names: string[]
  /** Whether the reference starts a thread instead of importing. */
  startsThread: boolean
}

/**
 * A source file with the facts that the rules need. AssemblyScript (`.as.ts`) has no tree, because its
 * decorators are not TypeScript.
 */
export interface SourceFile {
  /** The path from the root of the repository, with `/`. */
  path: string
  text: string
  lineCount: number
  tree: SyntaxNode | null
  references: Reference[]
}

/** The root of the repository. */
export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

const isNode = (value: unknown): value is SyntaxNode =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string'

/** Yields `node` and all nodes below it, in source order. */
export function* walkTree(node: SyntaxNode): Generator<SyntaxNode> {
  yield node
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* walkTree(child)
  }
}

/** Returns the value of a string literal, or undefined for another node. */
export const literalOf = (value: unknown): string | undefined =>
  isNode(value) && value.type === 'Literal' && typeof value.value === 'string' ? value.value : undefined

const nameOf = (value: unknown): string => (isNode(value) ? String(value.name ?? value.value) : '')

const namesOf = (specifiers: unknown): string[] =>
  (Array.isArray(specifiers) ? specifiers.filter(isNode) : []).map((specifier) => {
    if (specifier.type === 'ImportDefaultSpecifier') return 'default'
    if (specifier.type === 'ImportNamespaceSpecifier') return '*'
    return nameOf(specifier.imported ?? specifier.local)
  })

const fileUrlOf = (node: SyntaxNode): string | undefined => {
  const [first, second] = node.arguments as SyntaxNode[]
  return nameOf(node.callee) === 'URL' && second?.type === 'MemberExpression' ? literalOf(first) : undefined
}

const specifierOf = (node: SyntaxNode): string | undefined => {
  switch (node.type) {
    case 'ImportDeclaration':
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
    case 'ImportExpression':
    case 'TSImportType':
      return literalOf(node.source)
    case 'NewExpression':
      return fileUrlOf(node)
    default:
      return undefined
  }
}

const referencesOf = (path: string, tree: SyntaxNode): Reference[] => {
  const references: Reference[] = []
  for (const node of walkTree(tree)) {
    const specifier = specifierOf(node)
    if (specifier === undefined) continue
    references.push({
      specifier,
      target: specifier.startsWith('.') ? posix.join(posix.dirname(path), specifier) : specifier,
      names: node.type === 'ExportAllDeclaration' ? ['*'] : namesOf(node.specifiers),
      startsThread: node.type === 'NewExpression',
    })
  }
  return references
}

/** Parses a file that is given as text. Throws an error with the path when it cannot be parsed. */
export const readSource = (path: string, text: string): SourceFile => {
  const lineCount = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  if (path.endsWith('.as.ts')) return { path, text, lineCount, tree: null, references: [] }
  try {
    const tree = parseAst(text, { lang: 'ts' }) as unknown as SyntaxNode
    return { path, text, lineCount, tree, references: referencesOf(path, tree) }
  } catch (cause) {
    throw new Error(`${path} cannot be parsed`, { cause })
  }
}

/** Reads all TypeScript files below a folder of the repository, except generated ones, sorted by path. */
export const readFolder = (folder: string): SourceFile[] =>
  globSync(`${folder}/**/*.ts`, { cwd: ROOT, exclude: ['src/kernels/compiled/**'] })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
    .map((path) => readSource(path, readFileSync(`${ROOT}/${path}`, 'utf8')))

/** Returns the line of an offset, counted from 1. */
export const lineAt = (file: SourceFile, offset: number): number =>
  file.text.slice(0, offset).split('\n').length
