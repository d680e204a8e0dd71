/** The rules about single source files: length, names, comments and what the linter cannot check. */
import { lineAt, type SourceFile, type SyntaxNode, walkTree } from './source.ts'

/** The result of a rule: one line `path: what` for each violation. */
export type Violations = string[]

const FILE_LINES_MAX = 400
const FILE_LINES_AIM = 250
const FUNCTION_LINES_MAX = 70

/**
 * Finds files over 400 lines, and files over 250 that `ratchet` (path -> lines when it was listed) does not
 * list. A listed file may not grow, and leaves the list once it is short enough.
 */
export const findLongFiles = (
  files: readonly SourceFile[],
  ratchet: Readonly<Record<string, number>>,
): Violations => {
  const violations: Violations = []
  for (const { path, lineCount } of files) {
    const listed = ratchet[path]
    if (lineCount > FILE_LINES_MAX)
      violations.push(`${path}: ${lineCount} lines, the limit is ${FILE_LINES_MAX}`)
    else if (listed === undefined && lineCount > FILE_LINES_AIM)
      violations.push(`${path}: ${lineCount} lines, aimed at are ${FILE_LINES_AIM}: split it`)
    else if (listed !== undefined && lineCount > listed)
      violations.push(`${path}: grew from ${listed} to ${lineCount} lines`)
    else if (listed !== undefined && lineCount <= FILE_LINES_AIM)
      violations.push(`${path}: ${lineCount} lines, take it off the list`)
  }
  const paths = new Set(files.map((file) => file.path))
  for (const path of Object.keys(ratchet))
    if (!paths.has(path)) violations.push(`${path}: gone, take it off the list`)
  return violations
}

/**
 * Finds functions over 70 lines in AssemblyScript, which the linter cannot parse. A function begins with a
 * head at the margin and ends at the next `}` at the margin.
 */
export const findLongKernelFunctions = (files: readonly SourceFile[]): Violations => {
  const violations: Violations = []
  for (const { path, text } of files.filter((file) => file.tree === null)) {
    for (const match of text.matchAll(/^(?:export )?function (\w+)[^]*?^\}/gm)) {
      const lineCount = match[0].split('\n').length
      if (lineCount > FUNCTION_LINES_MAX)
        violations.push(`${path}: ${match[1]} has ${lineCount} lines, the limit is ${FUNCTION_LINES_MAX}`)
    }
  }
  return violations
}

const findNodes = (
  files: readonly SourceFile[],
  matches: (node: SyntaxNode) => boolean,
  what: string,
): Violations =>
  files.flatMap((file) =>
    file.tree === null
      ? []
      : [...walkTree(file.tree)]
          .filter(matches)
          .map((node) => `${file.path}:${lineAt(file, node.start)}: ${what}`),
  )

/** Finds uses of the type `any`. */
export const findAnyTypes = (files: readonly SourceFile[]): Violations =>
  findNodes(files, (node) => node.type === 'TSAnyKeyword', 'the type any')

const VAGUE_NAMES = new Set(['utils', 'util', 'helpers', 'helper', 'misc', 'common'])

/** Finds file names that are not kebab-case, or are too general, such as `utils.ts`. */
export const findBadNames = (paths: readonly string[]): Violations =>
  paths.flatMap((path) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const stem = name.slice(0, name.indexOf('.'))
    if (VAGUE_NAMES.has(stem)) return [`${path}: the name says nothing`]
    return /^[a-z0-9]+(-[a-z0-9]+)*(\.as|\.test|\.d)?\.ts$/.test(name) ? [] : [`${path}: not kebab-case`]
  })

/** Finds lines with a mark of unfinished work. */
export const findUnfinished = (files: readonly SourceFile[]): Violations =>
  files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .flatMap((line, index) =>
        /\b(TODO|FIXME|XXX|HACK)\b/.test(line) ? [`${path}:${index + 1}: ${line.trim()}`] : [],
      ),
  )

/** Finds comments that switch a checker off. AssemblyScript may have them, because it is not TypeScript. */
export const findSuppressions = (files: readonly SourceFile[]): Violations =>
  files.flatMap(({ path, text, tree }) =>
    tree !== null && /@ts-(ignore|nocheck|expect-error)|(oxlint|eslint)-disable|biome-ignore/.test(text)
      ? [`${path}: switches a checker off`]
      : [],
  )

const isFunctionOrClass = (declaration: SyntaxNode): boolean => {
  if (declaration.type === 'FunctionDeclaration' || declaration.type === 'ClassDeclaration') return true
  if (declaration.type !== 'VariableDeclaration') return false
  return (declaration.declarations as SyntaxNode[]).some((declarator) => {
    const initial = declarator.init as SyntaxNode | null
    return initial?.type === 'ArrowFunctionExpression' || initial?.type === 'FunctionExpression'
  })
}

/** Finds exported functions and classes without a doc comment right above. The first overload counts. */
export const findUndocumented = (files: readonly SourceFile[]): Violations =>
  files.flatMap((file) =>
    ((file.tree?.body ?? []) as SyntaxNode[]).flatMap((statement, index, body) => {
      const declaration = statement.declaration as SyntaxNode | null | undefined
      if (!statement.type.startsWith('Export') || !declaration || !isFunctionOrClass(declaration)) return []
      const before = file.text.slice(body[index - 1]?.end ?? 0, statement.start).trimEnd()
      const overloaded =
        (body[index - 1]?.declaration as SyntaxNode | undefined)?.type === 'TSDeclareFunction'
      const comment = before.match(/\/\*[^]*?\*\/|\/\/[^\n]*/g)?.at(-1) ?? ''
      const documented = comment.startsWith('/**') && before.endsWith(comment)
      return documented || overloaded ? [] : [`${file.path}:${lineAt(file, statement.start)}: no doc comment`]
    }),
  )

/**
 * Finds names and media types of formats as literals outside src/formats. A new format would be missing
 * there, so such code must ask the registry for a capability. A name within a longer text is prose.
 */
export const findFormatNames = (
  files: readonly SourceFile[],
  formats: readonly { name: string; mediaType: string }[],
): Violations => {
  const words = new Set(formats.flatMap(({ name, mediaType }) => [name, mediaType]))
  const isName = (value: unknown): boolean => typeof value === 'string' && words.has(value)
  const isTable = (value: unknown): boolean => /^[A-Z_]+$/.test(String(value))
  const nameOf = (node: unknown): unknown => (node as SyntaxNode | undefined)?.name
  const matches = (node: SyntaxNode): boolean => {
    switch (node.type) {
      case 'Literal':
        return isName(node.value)
      case 'TemplateElement':
        return isName((node.value as { cooked?: unknown }).cooked)
      case 'Property':
        // `{ raw } = request` reads a member and names no format.
        return node.shorthand !== true && node.computed !== true && isName(nameOf(node.key))
      case 'MemberExpression':
        return node.computed !== true && isName(nameOf(node.property)) && isTable(nameOf(node.object))
      default:
        return false
    }
  }
  return findNodes(
    files.filter(({ path }) => !path.startsWith('src/formats/')),
    matches,
    'names a format: ask the registry for a capability',
  )
}

/**
 * Finds files that no compiler reads, which an editor or a merge has left behind. `built` is a folder of
 * files that the build makes.
 */
export const findLeftovers = (paths: readonly string[], built: string): string[] =>
  paths
    .filter((path) => !path.startsWith(built) && !/\.(?:ts|wat)$/.test(path))
    .map((path) => `${path}: neither TypeScript nor WebAssembly text`)

const EMPTY_COLLECTIONS = new Set(['Map', 'Set', 'WeakMap', 'WeakSet'])

const isHiddenState = (declaration: SyntaxNode): boolean => {
  if (declaration.type !== 'VariableDeclaration') return false
  if (declaration.kind !== 'const') return true
  return (declaration.declarations as SyntaxNode[]).some((declarator) => {
    const initial = declarator.init as SyntaxNode | null
    if (initial?.type !== 'NewExpression') return false
    const { name } = initial.callee as SyntaxNode & { name?: string }
    return EMPTY_COLLECTIONS.has(name ?? '') && (initial.arguments as SyntaxNode[]).length === 0
  })
}

/**
 * Finds mutable variables of modules: `let`, and collections that begin empty. In the rooms that answer
 * requests such state belongs to the context of the thread, where tests and readers can see it.
 */
export const findHiddenState = (files: readonly SourceFile[], rooms: readonly string[]): Violations =>
  files
    .filter(({ path }) => rooms.some((room) => path.startsWith(`${room}/`)))
    .flatMap((file) =>
      ((file.tree?.body ?? []) as SyntaxNode[])
        .filter((statement) => isHiddenState((statement.declaration as SyntaxNode | null) ?? statement))
        .map((statement) => `${file.path}:${lineAt(file, statement.start)}: state of a module`),
    )
