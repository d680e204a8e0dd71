/**
 * Loads the kernels that `npm run build` compiled. Each module is compiled once per thread, however many
 * memories use it.
 */
import { readFileSync } from 'node:fs'

/** The modules in `compiled/`; `wasm/build.ts` says which sources each is made of. */
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

/** The compiled module. Throws ENOENT when its file is missing, which `npm run build` makes. */
const loadModule = (name: ModuleName): WebAssembly.Module => {
  const known = modules.get(name)
  if (known !== undefined) return known
  const module = new WebAssembly.Module(readFileSync(new URL(`./compiled/${name}.wasm`, import.meta.url)))
  modules.set(name, module)
  return module
}

/** An instance of the module over these imports: memories, and places in them. Returns what it exports. */
export const instantiateModule = <Exports>(name: ModuleName, imports: Record<string, unknown>): Exports =>
  new WebAssembly.Instance(loadModule(name), { env: imports }).exports as Exports
