/** The rule about files of src that only one room may import. */
import type { Violations } from './rules.ts'
import type { SourceFile } from './source.ts'

/**
 * Lists files of src that one room alone may import, types included. `allowed` matches the paths of the files
 * that may.
 */
export const ROOM_OWNED: readonly { target: string; allowed: RegExp }[] = [
  { target: 'src/tables/table-writer.ts', allowed: /^src\/writer\// },
]

/** Finds imports of an owned file from outside the room that owns it. */
export const findForeignImporters = (files: readonly SourceFile[], owned: typeof ROOM_OWNED): Violations =>
  files.flatMap(({ path, references }) =>
    references
      .filter(({ target }) => owned.some((rule) => rule.target === target && !rule.allowed.test(path)))
      .map(({ target }) => `${path}: may not import ${target}`),
  )

/** Finds owned files that do not exist or have no allowed importer, which leave the rule without effect. */
export const findUnusedOwners = (files: readonly SourceFile[], owned: typeof ROOM_OWNED): Violations =>
  owned
    .filter(
      ({ target, allowed }) =>
        !files.some(
          (file) => allowed.test(file.path) && file.references.some((each) => each.target === target),
        ),
    )
    .map(({ target }) => `${target}: nobody imports it`)
