/**
 * Builds what npm packs: `src/**\/*.ts` -> `dist/**\/*.js`, without types and with imports of JavaScript
 * files, and the compiled kernels. Types become blanks, so lines and columns in a stack trace are those of
 * the sources. `npm run build:package` and `npm pack` run it; it prints nothing when all is well.
 */
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const target = join(root, 'dist')
/**
 * Files that no service runs: declarations, the sources of the kernels, and the references that prove them.
 */
const LEFT_OUT = [/\.as\.ts$/, /\.d\.ts$/, /^kernels\/wasm\//, /^kernels\/reference\//]
/** A quoted relative path of a module, which follows `from`, `import(` or `new URL(`. */
const MODULE_PATH = /(['"])(\.{1,2}\/[^'"\n]*)\.ts\1/g

const modules = globSync('**/*.ts', { cwd: join(root, 'src') })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => !LEFT_OUT.some((pattern) => pattern.test(path)))
const kernels = globSync('kernels/compiled/*.wasm', { cwd: join(root, 'src') })
if (kernels.length === 0) throw new Error('src/kernels/compiled has no kernels; npm run build makes them')

rmSync(target, { recursive: true, force: true })
for (const path of [...modules, ...kernels]) mkdirSync(dirname(join(target, path)), { recursive: true })
for (const path of kernels) copyFileSync(join(root, 'src', path), join(target, path))
for (const path of modules) {
  const code = stripTypeScriptTypes(readFileSync(join(root, 'src', path), 'utf8')).replaceAll(
    MODULE_PATH,
    '$1$2.js$1',
  )
  writeFileSync(join(target, path.replace(/\.ts$/, '.js')), code)
}

const broken = modules.flatMap((path) => {
  const file = join(target, path.replace(/\.ts$/, '.js'))
  return [...readFileSync(file, 'utf8').matchAll(/(['"])(\.{1,2}\/[^'"\n]*\.(?:js|wasm))\1/g)]
    .map((match) => match[2])
    .filter((specifier) => !existsSync(join(dirname(file), specifier)))
    .map((specifier) => `${path}: there is no ${specifier}`)
})
if (broken.length > 0) throw new Error(broken.join('\n'))
