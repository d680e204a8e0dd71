/**
 * Loads the compiled kernels that `npm run build` writes. Each module is compiled once per thread, however
 * many memories use it.
 */
import { readFileSync } from 'node:fs'

/** The modules in `compiled/`. `wasm/build.ts` lists the sources of each. */
export type ModuleName =
  | 'apply'
  | 'attend'
  | 'bag'
  | 'lora'
  | 'parse-numbers'
  | 'print-floats'
  | 'table'
  | 'update-source'

const modules = new Map<ModuleName, WebAssembly.Module>()

/** Returns the compiled module. Throws ENOENT if its file is missing; `npm run build` creates it. */
const loadModule = (name: ModuleName): WebAssembly.Module => {
  const known = modules.get(name)
  if (known !== undefined) return known
  const module = new WebAssembly.Module(readFileSync(new URL(`./compiled/${name}.wasm`, import.meta.url)))
  modules.set(name, module)
  return module
}

/** Instantiates the module with these imports (memories, and addresses in them) and returns its exports. */
export const instantiateModule = <Exports>(name: ModuleName, imports: Record<string, unknown>): Exports =>
  new WebAssembly.Instance(loadModule(name), { env: imports }).exports as Exports
