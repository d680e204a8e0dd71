/**
 * What a gathered row costs: random rows of 1 GiB of float32, batches of 4,096 uniform ids, output reused, one thread.
 *
 *     node load/kernel.ts [dim...]      ns per row, the best of several interleaved passes
 *
 * `plain` copies row by row; `touch n` reads one byte of every cache line of the next n rows before it copies them; `checked` also
 * checks each row against its stripe word. Beside them, when gcc is there, memcpy per row and memcpy with prefetch, in C.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CHECK_ROWS, instantiateKernels } from '../src/kernels/index.ts'
import { createArenaMemory, createTableMemory } from '../src/kernels/memories.ts'
import { PAGE_BYTES, ROWS_AT } from '../src/tables/layout.ts'

const ROWS_BYTES = 2 ** 30
const BATCH = 4096
const BATCH_COUNT = 64
const PASS_COUNT = 9
const IDS_AT = PAGE_BYTES
const OUT_AT = 2 * PAGE_BYTES

type Kernel = (...values: number[]) => number
interface Exports {
  gatherRaw: Kernel
  gatherRawChecked: Kernel
}

const dims = process.argv.length > 2 ? process.argv.slice(2).map(Number) : [1, 4, 8, 16, 32, 64, 256]
const table = createTableMemory(ROWS_BYTES + PAGE_BYTES)
const arena = createArenaMemory(OUT_AT + BATCH * Math.max(...dims) * 4)
const binary = readFileSync(new URL('../src/kernels/build/table.wasm', import.meta.url))
const kernels = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { table, arena } }).exports as unknown as Exports

const fillTable = (): void => {
  const words = new Uint32Array(table.buffer, ROWS_AT, ROWS_BYTES / 4)
  for (let at = 0; at < words.length; at += 16_384) words.fill(at, at, at + 16_384)
}

const ids = new Int32Array(arena.buffer, IDS_AT, BATCH)
const pool = new Int32Array(BATCH * BATCH_COUNT)
const drawIds = (rowCount: number): void => {
  for (let i = 0; i < pool.length; i++) pool[i] = Math.floor(Math.random() * rowCount)
}

/** The same passes for each variant in turn, so that a disturbance of the machine meets all of them. */
const measure = (dim: number): Record<string, number> => {
  const rowBytes = dim * 4
  const rowCount = Math.floor(ROWS_BYTES / rowBytes)
  const plain = (touchRows: number) => () => kernels.gatherRaw(IDS_AT, BATCH, OUT_AT, 0, 0, rowCount, rowBytes, touchRows)
  const variants: Record<string, () => void> = {
    plain: plain(0),
    'touch 16': plain(16),
    'touch 32': plain(32),
    'touch 64': plain(64),
    'touch 128': plain(128),
    checked: () => kernels.gatherRawChecked(IDS_AT, 0, BATCH, OUT_AT, 0, 0, rowCount, rowBytes, CHECK_ROWS),
  }
  const best: Record<string, number> = {}
  for (let pass = 0; pass < PASS_COUNT; pass++) {
    for (const [name, run] of Object.entries(variants)) {
      drawIds(rowCount)
      const start = performance.now()
      for (let batch = 0; batch < BATCH_COUNT; batch++) {
        ids.set(pool.subarray(batch * BATCH, (batch + 1) * BATCH))
        run()
      }
      const ns = ((performance.now() - start) * 1e6) / pool.length
      best[name] = Math.min(best[name] ?? Infinity, Number(ns.toFixed(1)))
    }
  }
  return best
}

const measureC = (): Record<number, Record<string, number>> => {
  const scratch = mkdtempSync(join(tmpdir(), 'gatherd-kernel-'))
  try {
    const program = join(scratch, 'kernel')
    execFileSync('gcc', ['-O3', '-march=native', '-o', program, join(import.meta.dirname, 'kernel.c')], { stdio: 'ignore' })
    const lines = execFileSync(program, dims.map(String), { encoding: 'utf8' }).trim().split('\n')
    return Object.fromEntries(
      lines.map((line) => {
        const { dim, memcpy, prefetch } = JSON.parse(line) as { dim: number; memcpy: number; prefetch: number }
        return [dim, { 'C memcpy': memcpy, 'C prefetch': prefetch }]
      }),
    )
  } catch {
    console.log('No gcc here: the columns of C stay empty.')
    return {}
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

/** What one small lookup pays for its gather, checks of arguments included. */
const measureCall = (): number => {
  const { gather } = instantiateKernels(table, arena)
  const rowCount = ROWS_BYTES / 64
  ids.set(Array.from({ length: 8 }, (_, i) => i * 3))
  let best = Infinity
  for (let pass = 0; pass < 20; pass++) {
    const start = performance.now()
    for (let i = 0; i < 100_000; i++) gather('float32', 'float32', IDS_AT, 8, OUT_AT, 0, 0, rowCount, 16)
    best = Math.min(best, ((performance.now() - start) * 1e6) / 100_000)
  }
  return best
}

fillTable()
const results = dims.map((dim) => ({ dim, ...measure(dim) }))
const yardstick = measureC()
console.table(results.map((result) => ({ ...result, ...yardstick[result.dim] })))
console.log(`one call for 8 cached rows of 16: ${measureCall().toFixed(0)} ns`)
