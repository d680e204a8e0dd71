/**
 * Compiles the kernels: `src/kernels/wasm/*.as.ts` -> `src/kernels/compiled/*.wasm`, which is committed. `npm
 * run build` runs it, after it has installed the compilers from the package in `compilers/`. With `--check`
 * it writes nothing and fails unless a rebuild gives the committed bytes. Names of modules as arguments limit
 * either to these modules.
 *
 *     AssemblyScript  compiles the sources; accesses to the table and update source memories are imports
 *     wasm-merge      joins them with access.wat, which defines those imports over memories of their own
 *     wasm-opt        drops the exports that only served the join, and inlines; no call is left in the loops
 *
 * To add a module, add an entry to MODULES.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
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
  { name: 'apply', sources: ['apply.as.ts', 'apply-adaptive.as.ts', 'constrain.as.ts'] },
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
/** The integer constants of the memory layout that the sources may use. */
const CONSTANTS = { ROWS_AT, STRIPES_AT, STRIPE_COUNT, INT8_SUFFIX_BYTES }

const folder = import.meta.dirname
const target = join(folder, '../compiled')
const packages = join(folder, '../../../compilers/node_modules')
const builtFile = (module: KernelModule): string => join(target, `${module.name}.wasm`)

/**
 * The part of the AssemblyScript interface that is used here. Its own types would declare a second `console`
 * for the whole project.
 */
interface Compiler {
  main(
    options: string[],
    files: { readFile(name: string): string | null; writeFile(name: string, contents: Uint8Array): void },
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>
}
const COMPILER = join(packages, 'assemblyscript/dist/asc.js')
const PROGRAMS = join(packages, 'binaryen/bin')

const fail = (message: string): never => {
  console.error(message)
  process.exit(1)
}

const runBinaryen = (program: string, options: string[]): void => {
  execFileSync(process.execPath, [join(PROGRAMS, program), ...options, ...FEATURES], { stdio: 'inherit' })
}

const compileSources = async (module: KernelModule): Promise<Uint8Array> => {
  const { main } = (await import(pathToFileURL(COMPILER).href)) as Compiler
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

/** Builds a module in the folder `scratch` and returns its bytes. */
const buildModule = async (module: KernelModule, scratch: string): Promise<Buffer> => {
  const [compiled, merged, optimised] = ['compiled', 'merged', 'optimised'].map((step) =>
    join(scratch, `${module.name}.${step}.wasm`),
  )
  writeFileSync(compiled, await compileSources(module))
  runBinaryen('wasm-merge', [compiled, module.name, join(folder, 'access.wat'), 'env', '-o', merged])
  const drop = JOIN_EXPORTS.map((name) => `--remove-exports=${name}`)
  runBinaryen('wasm-opt', [merged, ...drop, '-O3', '-O3', '-o', optimised])
  return readFileSync(optimised)
}

/** Replaces a file by rename, because another process may be reading the old one. */
const replaceFile = (path: string, bytes: Buffer): void => {
  writeFileSync(`${path}.${process.pid}`, bytes)
  renameSync(`${path}.${process.pid}`, path)
}

const isCommitted = (module: KernelModule, bytes: Buffer): boolean =>
  existsSync(builtFile(module)) && readFileSync(builtFile(module)).equals(bytes)

const run = async (options: string[]): Promise<void> => {
  const isCheck = options.includes('--check')
  const names = options.filter((option) => option !== '--check')
  const modules = MODULES.filter(({ name }) => names.length === 0 || names.includes(name))
  const unknown = names.filter((name) => !MODULES.some((module) => module.name === name))
  if (unknown.length > 0) fail(`There is no kernel module ${unknown.join(', ')}.`)
  if (!existsSync(COMPILER) || !existsSync(PROGRAMS))
    fail('The compilers of the kernels are not installed: use npm run build, which installs them.')

  const scratch = mkdtempSync(join(tmpdir(), 'gatherd-kernels-'))
  const differing: string[] = []
  try {
    for (const module of modules) {
      const bytes = await buildModule(module, scratch)
      const isEqual = isCommitted(module, bytes)
      if (!isEqual && isCheck) differing.push(module.name)
      if (!isEqual && !isCheck) replaceFile(builtFile(module), bytes)
      console.log(`${module.name}.wasm ${bytes.length} bytes${isEqual ? ', as before' : ''}`)
    }
  } finally {
    rmSync(scratch, { recursive: true })
  }
  if (differing.length > 0)
    fail(
      `A rebuild gives other bytes for ${differing.join(', ')}: ` +
        `run npm run build and commit src/kernels/compiled.`,
    )
}

await run(process.argv.slice(2))
