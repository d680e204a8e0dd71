/**
 * Makes what npm packs: `src/**\/*.ts` -> `dist/**\/*.js`, without types and with the names of JavaScript
 * files, and the compiled kernels. Types become blanks, so lines and columns in a stack trace are those of
 * the sources. Run by `npm run build:package`.
 */
import { copyFileSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { dirname, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const target = join(root, 'dist')
/** Sources, compiler and references of the kernels, and declarations: a service runs none of them. */
const LEFT_OUT = [/\.as\.ts$/, /\.d\.ts$/, /^kernels\/wasm\/build\.ts$/, /^kernels\/reference\//]
/** A quoted relative path of a module, as after `from`, `import(` and `new URL(`. */
const MODULE_PATH = /(['"])(\.{1,2}\/[^'"\n]*)\.ts\1/g

const modules = globSync('**/*.ts', { cwd: join(root, 'src') })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => !LEFT_OUT.some((pattern) => pattern.test(path)))
const kernels = globSync('kernels/compiled/*.wasm', { cwd: join(root, 'src') })
if (kernels.length === 0) throw new Error('the kernels are not built: npm run build')

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
console.log(`dist: ${modules.length} modules, ${kernels.length} kernels`)
