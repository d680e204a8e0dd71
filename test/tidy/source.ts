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
 * One reference from a file to another: an import, a re-export, `import()`, or a worker's `new
 * URL('./x.ts', import.meta.url)`.
 */
export interface Reference {
  /** As written. */
  specifier: string
  /** The file it names, as a path of the repository; the specifier itself when it is a package. */
  target: string
  /** Imported names; `*` for a namespace, `default` for the default export. */
  names: string[]
  /** Starts a thread instead of importing. */
  startsThread: boolean
}

/**
 * A source file with what the rules need to know of it. AssemblyScript (`.as.ts`) has no tree: its decorators
 * are not TypeScript.
 */
export interface SourceFile {
  /** From the root of the repository, with `/`. */
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

/** All nodes below `node`, itself first, in source order. */
export function* walkTree(node: SyntaxNode): Generator<SyntaxNode> {
  yield node
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* walkTree(child)
  }
}

/** The value of a string literal, else undefined. */
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

/** Reads one file given as text. Throws with the path when it cannot be parsed. */
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

/** All TypeScript files below a folder of the repository, generated ones left out, sorted by path. */
export const readFolder = (folder: string): SourceFile[] =>
  globSync(`${folder}/**/*.ts`, { cwd: ROOT, exclude: ['src/kernels/compiled/**'] })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
    .map((path) => readSource(path, readFileSync(`${ROOT}/${path}`, 'utf8')))

/** The line (from 1) of an offset. */
export const lineAt = (file: SourceFile, offset: number): number =>
  file.text.slice(0, offset).split('\n').length
