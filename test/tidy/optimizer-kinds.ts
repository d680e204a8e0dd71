/** The rule that only its declaration and its kernel name an optimizer kind. */
import type { SourceFile } from './source.ts'
import type { Violations } from './rules.ts'

/** The files that may name an optimizer kind: its declaration, and the kernels that compute its step. */
export const KIND_OWNERS: readonly RegExp[] = [
  /^src\/optimizers\//,
  /^src\/kernels\/wasm\/apply(-[\w-]+)?\.as\.ts$/,
  /^src\/kernels\/reference\/optimizer(-[\w-]+)?\.ts$/,
]

/**
 * Finds lines, comments included, that name an optimizer kind outside its owners. A fact about one kind
 * belongs into its declaration; elsewhere it would be missing for the next kind.
 */
export const findNamedKinds = (
  files: readonly SourceFile[],
  kinds: readonly string[],
  owners: readonly RegExp[],
): Violations => {
  const names = new RegExp(`\\b(${kinds.join('|')})\\b`)
  return files
    .filter(({ path }) => !owners.some((owner) => owner.test(path)))
    .flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, i) => {
        const kind = names.exec(line)?.[1]
        return kind === undefined ? [] : [`${path}:${i + 1}: names the optimizer ${kind}`]
      }),
    )
}
