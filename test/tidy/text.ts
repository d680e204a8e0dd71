/** Reads the texts of the repository that people write: code, pages and scripts. */
import { globSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './source.ts'

/** A file that people read and write, with its path from the root of the repository. */
export interface TextFile {
  path: string
  text: string
}

const FOLDERS = ['src', 'test', 'load', 'docs', 'bin', 'examples', '.ci']
/** Files that programs make or that must keep their bytes: data, goldens and compiled kernels. */
const MADE = /^src\/kernels\/compiled\/|(^|\/)fixtures\/|^test\/golden\/.*\.json$|^docs\/load\.json$|\/glove-/
const TEXT = /\.(ts|mjs|py|md|wat|sh|yml)$|^\.ci\/[a-z]+$/

/** Reads all texts of the repository that people write, sorted by path. */
export const readTexts = (): TextFile[] =>
  globSync([...FOLDERS.map((folder) => `${folder}/**/*`), '*.md', '*.ts'], { cwd: ROOT })
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => TEXT.test(path) && !MADE.test(path) && statSync(join(ROOT, path)).isFile())
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
