/**
 * Compiles the kernels: `src/kernels/wasm/*.as.ts` -> `src/kernels/compiled/*.wasm`. Run by `npm run build`, and with `--if-older` by `npm install`
 * (prepare), which npx does too before its first run in a checkout: then only if a source or a compiler is newer than what is there.
 *
 *     AssemblyScript  the sources; accesses to the memories of table and update source are imported functions
 *     wasm-merge      joins them with access.wat, which defines those functions over memories of their own
 *     wasm-opt        drops the exports that served the join, inlines; no call is left in the loops
 *
 * A new module is one more line of MODULES.
 */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { INT8_SUFFIX_BYTES, ROWS_AT, STRIPES_AT, STRIPE_COUNT } from '../../layout/table-layout.ts'
import { SHARED_SOURCES } from './shared-source.ts'

interface KernelModule {
  name: string
  sources: string[]
}

const MODULES: readonly KernelModule[] = [
  { name: 'table', sources: ['gather.as.ts', 'scatter.as.ts', 'ingest.as.ts', 'convert.as.ts'] },
  { name: 'attend', sources: ['attend.as.ts', 'top-k.as.ts'] },
  { name: 'bag', sources: ['bag.as.ts'] },
  { name: 'lora', sources: ['lora.as.ts'] },
  { name: 'print-floats', sources: ['print-floats.as.ts'] },
  { name: 'parse-numbers', sources: ['parse-numbers.as.ts'] },
  { name: 'apply', sources: ['apply.as.ts', 'constrain.as.ts'] },
  { name: 'update-source', sources: ['coalesce.as.ts', 'combine.as.ts'] },
]

const FEATURES = [
  '--enable-simd',
  '--enable-threads',
  '--enable-memory64',
  '--enable-multimemory',
  '--enable-bulk-memory',
  '--enable-bulk-memory-opt',
  '--enable-sign-ext',
  '--enable-mutable-globals',
  '--enable-nontrapping-float-to-int',
]
const JOIN_EXPORTS = ['memory', 'table.*', 'updateSource.*']
/** Integer constants of the memory layout that the sources may name. */
const CONSTANTS = { ROWS_AT, STRIPES_AT, STRIPE_COUNT, INT8_SUFFIX_BYTES }

const folder = import.meta.dirname
const target = join(folder, '../compiled')
const builtFile = (module: KernelModule): string => join(target, `${module.name}.wasm`)

/** What is used of AssemblyScript. Its own types would declare a second `console` for the whole project. */
interface Compiler {
  main(
    options: string[],
    files: { readFile(name: string): string | null; writeFile(name: string, contents: Uint8Array): void },
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>
}
const COMPILER: string = 'assemblyscript/asc'

const fail = (message: string): never => {
  console.error(message)
  process.exit(1)
}

/** Where binaryen's programs are, or null when the compilers are not installed (`npm install --omit=dev`). */
const findCompilers = (): string | null => {
  try {
    import.meta.resolve(COMPILER)
    return fileURLToPath(new URL('bin/', import.meta.resolve('binaryen')))
  } catch {
    return null
  }
}

const runBinaryen = (programs: string, program: string, options: string[]): void => {
  execFileSync(process.execPath, [join(programs, program), ...options, ...FEATURES], { stdio: 'inherit' })
}

const compileSources = async (module: KernelModule): Promise<Uint8Array> => {
  const { main } = (await import(COMPILER)) as Compiler
  let binary: Uint8Array | undefined
  const constants = Object.entries(CONSTANTS).flatMap(([name, value]) => ['--use', `${name}=${value}`])
  const { error, stderr } = await main(
    [
      ...module.sources,
      '--outFile',
      'out.wasm',
      '--noAssert',
      '--runtime',
      'stub',
      '--enable',
      'simd,threads',
      '--importMemory',
      '--noExportMemory',
      '--sharedMemory',
      '--initialMemory',
      '1',
      '--maximumMemory',
      '65536',
      ...constants,
    ],
    {
      readFile: (name) =>
        SHARED_SOURCES[name] ??
        (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : null),
      writeFile: (_name, contents) => {
        binary = contents
      },
    },
  )
  if (error !== null || binary === undefined) return fail(`${module.name}: ${error?.message}\n${stderr}`)
  return binary
}

const buildModule = async (module: KernelModule, programs: string, scratch: string): Promise<void> => {
  const compiled = join(scratch, `${module.name}.compiled.wasm`)
  const merged = join(scratch, `${module.name}.merged.wasm`)
  const optimised = join(target, `.${module.name}.${process.pid}`)
  writeFileSync(compiled, await compileSources(module))
  runBinaryen(programs, 'wasm-merge', [
    compiled,
    module.name,
    join(folder, 'access.wat'),
    'env',
    '-o',
    merged,
  ])
  const drop = JOIN_EXPORTS.map((name) => `--remove-exports=${name}`)
  runBinaryen(programs, 'wasm-opt', [merged, ...drop, '-O3', '-O3', '-o', optimised])
  const { byteLength } = readFileSync(optimised)
  // by rename: another process may be reading the old one
  renameSync(optimised, builtFile(module))
  console.log(`${module.name}.wasm ${byteLength} bytes`)
}

const isUpToDate = (): boolean => {
  const outputs = MODULES.map(builtFile)
  if (!outputs.every((path) => existsSync(path))) return false
  // The compilers are pinned in the lockfile.
  const sources = [
    '*.as.ts',
    '*.wat',
    'build.ts',
    '../../layout/table-layout.ts',
    '../../../package-lock.json',
  ]
  const changedMs = globSync(sources, { cwd: folder }).map((path) => statSync(join(folder, path)).mtimeMs)
  return Math.max(...changedMs) < Math.min(...outputs.map((path) => statSync(path).mtimeMs))
}

const programs = findCompilers()
if (process.argv.includes('--if-older') && isUpToDate()) {
  console.log('The kernels are up to date.')
} else if (programs === null) {
  const missing = MODULES.filter((module) => !existsSync(builtFile(module)))
  if (missing.length > 0)
    fail(`The kernels are not built and the compilers are not installed: run npm install without --omit=dev.`)
  console.log('The compilers are not installed; the kernels that are already built stay.')
} else {
  mkdirSync(target, { recursive: true })
  const scratch = mkdtempSync(join(tmpdir(), 'gatherd-kernels-'))
  try {
    for (const module of MODULES) await buildModule(module, programs, scratch)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}
