/**
 * Declares the part of WebAssembly that gatherd uses, which neither TypeScript's `esnext` library nor Node's
 * types declare.
 */
declare namespace WebAssembly {
  interface MemoryDescriptor {
    initial: number | bigint
    maximum: number | bigint
    shared: true
    address?: 'i32' | 'i64'
  }

  class Memory {
    constructor(descriptor: MemoryDescriptor)
    readonly buffer: SharedArrayBuffer
  }

  class Module {
    constructor(bytes: Uint8Array)
    static imports(module: Module): { module: string; name: string; kind: string }[]
    static exports(module: Module): { name: string; kind: string }[]
  }

  class Instance {
    constructor(module: Module, imports: Record<string, Record<string, unknown>>)
    readonly exports: Record<string, unknown>
  }
}
