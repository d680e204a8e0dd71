/**
 * Measures a gathered row: random rows of 1 GiB of float32, batches of 4,096 uniform ids, output reused, one
 * thread.
 *
 *     node load/bench/kernel.ts [--python=python3] [dim...]
 *
 * It prints nanoseconds per row, the best of several interleaved passes.
 *
 * `gather` is what a lookup calls; `plain` copies row by row; `touch n` reads one byte of every cache line of
 * the next n rows before it copies them; `checked` also checks each row against its stripe word. Beside them
 * run, interleaved: with gcc, C by memcpy per row and by memcpy with prefetch, both without huge pages; with
 * NumPy, numpy.take with its defaults and with `mode='clip'` into memory that is there, in a process that
 * asks for huge pages, as NumPy does by itself, and in one that does not (4K).
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { CHECK_ROWS, instantiateKernels } from '../../src/kernels/table.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { PAGE_BYTES, ROWS_AT } from '../../src/layout/table-layout.ts'

const ROWS_BYTES = 2 ** 30
const BATCH = 4096
/**
 * The first half of the batches does not count: it brings the table's page tables back into the caches after
 * another process has run.
 */
const BATCH_COUNT = 128
const PASS_COUNT = 9
const IDS_AT = PAGE_BYTES
const OUT_AT = 2 * PAGE_BYTES

type Kernel = (...values: number[]) => number
interface Exports {
  gatherRaw: Kernel
  gatherRawChecked: Kernel
}

const { values: options, positionals } = parseArgs({
  options: { python: { type: 'string', default: 'python3' } },
  allowPositionals: true,
})
const dims = positionals.length > 0 ? positionals.map(Number) : [1, 4, 8, 16, 32, 64, 256]
const table = createTableMemory(ROWS_BYTES + PAGE_BYTES)
const arena = createArenaMemory(OUT_AT + BATCH * Math.max(...dims) * 4)
const binary = readFileSync(new URL('../../src/kernels/compiled/table.wasm', import.meta.url))
const kernels = new WebAssembly.Instance(new WebAssembly.Module(binary), { env: { table, arena } })
  .exports as unknown as Exports
const { gather } = instantiateKernels(table, arena)

const fillTable = (): void => {
  const words = new Uint32Array(table.buffer, ROWS_AT, ROWS_BYTES / 4)
  for (let at = 0; at < words.length; at += 16_384) words.fill(at, at, at + 16_384)
}

const ids = new Int32Array(arena.buffer, IDS_AT, BATCH)
const pool = new Int32Array(BATCH * BATCH_COUNT)
const drawIds = (rowCount: number): void => {
  for (let i = 0; i < pool.length; i++) pool[i] = Math.floor(Math.random() * rowCount)
}

/** The sum of the words that the last batch gathered. */
const sumWords = (dim: number): number =>
  new Uint32Array(arena.buffer, OUT_AT, BATCH * dim).reduce((sum, word) => sum + word, 0)

/** Another program that gathers rows of an equal table. A pass gives nanoseconds per row and the last sum. */
interface Peer {
  version: string
  ask(variant: string, dim: number): Promise<{ ns: number; sum: number }>
  close(): void
}

const idsFolder = mkdtempSync(join(tmpdir(), 'gatherd-kernel-'))

/** Starts such a program; null when it does not start. */
const startPeer = async (
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<Peer | null> => {
  const child = spawn(command, [...args, String(ROWS_BYTES), String(BATCH)], {
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  child.once('error', () => {})
  child.stdin.on('error', () => {})
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const first = await lines.next()
  if (first.done) return null
  const path = join(idsFolder, 'ids')
  return {
    version: first.value,
    ask: async (variant, dim) => {
      writeFileSync(path, pool)
      child.stdin.write(`${variant} ${dim} ${path}\n`)
      const [ns, sum] = ((await lines.next()).value ?? 'NaN NaN').split(' ').map(Number)
      return { ns, sum }
    },
    close: () => child.stdin.end(),
  }
}

const startC = async (): Promise<Peer | null> => {
  const program = join(idsFolder, 'kernel')
  try {
    execFileSync('gcc', ['-O3', '-march=native', '-o', program, join(import.meta.dirname, 'kernel.c')], {
      stdio: 'ignore',
    })
  } catch {
    return null
  }
  return startPeer(program, [])
}

/** Nanoseconds per row over the second half of the batches drawn. */
const runBatches = (run: () => void): number => {
  let start = 0
  for (let batch = 0; batch < BATCH_COUNT; batch++) {
    if (batch === BATCH_COUNT / 2) start = performance.now()
    ids.set(pool.subarray(batch * BATCH, (batch + 1) * BATCH))
    run()
  }
  return ((performance.now() - start) * 2e6) / pool.length
}

type Variant = () => number | Promise<number>

const makeOwn = (dim: number, rowCount: number): Record<string, Variant> => {
  const rowBytes = dim * 4
  const touch = (touchRows: number) => () =>
    kernels.gatherRaw(IDS_AT, BATCH, OUT_AT, 0, 0, rowCount, rowBytes, touchRows)
  const runs: Record<string, () => void> = {
    gather: () => gather('float32', 'float32', IDS_AT, BATCH, OUT_AT, 0, 0, rowCount, dim),
    plain: touch(0),
    'touch 16': touch(16),
    'touch 32': touch(32),
    'touch 64': touch(64),
    'touch 128': touch(128),
    checked: () => kernels.gatherRawChecked(IDS_AT, 0, BATCH, OUT_AT, 0, 0, rowCount, rowBytes, CHECK_ROWS),
  }
  return Object.fromEntries(Object.entries(runs).map(([name, run]) => [name, () => runBatches(run)]))
}

const makePeers = (peers: Peers, dim: number): Record<string, Variant> => {
  const ask = (peer: Peer | null, name: string, variant: string): [string, Variant][] =>
    peer === null ? [] : [[name, () => askPeer(peer, variant, dim)]]
  return Object.fromEntries([
    ...ask(peers.c, 'C memcpy', 'memcpy'),
    ...ask(peers.c, 'C prefetch', 'prefetch'),
    ...ask(peers.numpy, 'take', 'take'),
    ...ask(peers.numpy, 'take clip', 'clip'),
    ...ask(peers.numpy4k, 'take 4K', 'take'),
    ...ask(peers.numpy4k, 'take clip 4K', 'clip'),
  ])
}

/** Runs a pass and compares its rows by the sum of the last batch. */
const askPeer = async (peer: Peer, variant: string, dim: number): Promise<number> => {
  const { ns, sum } = await peer.ask(variant, dim)
  ids.set(pool.subarray(-BATCH))
  gather('float32', 'float32', IDS_AT, BATCH, OUT_AT, 0, 0, Math.floor(ROWS_BYTES / dim / 4), dim)
  if (sum !== sumWords(dim))
    throw new Error(
      `${peer.version}, ${variant}, dim ${dim}: the rows add up to ${sum}, ours to ${sumWords(dim)}`,
    )
  return ns
}

/**
 * Runs a pass of each variant in turn, so that a disturbance of the machine meets all of them; no cache has
 * seen the ids of any.
 */
const measure = async (peers: Peers, dim: number): Promise<Record<string, number>> => {
  const rowCount = Math.floor(ROWS_BYTES / dim / 4)
  const variants = { ...makeOwn(dim, rowCount), ...makePeers(peers, dim) }
  const best: Record<string, number> = {}
  for (let pass = 0; pass < PASS_COUNT; pass++) {
    for (const [name, run] of Object.entries(variants)) {
      drawIds(rowCount)
      best[name] = Math.min(best[name] ?? Infinity, Number((await run()).toFixed(1)))
    }
  }
  return best
}

/** Nanoseconds that a small lookup pays for its gather, checks of arguments included. */
const measureCall = (): number => {
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

interface Peers {
  c: Peer | null
  numpy: Peer | null
  numpy4k: Peer | null
}

const startPeers = async (): Promise<Peers> => {
  const program = join(import.meta.dirname, '../peers/take.py')
  const startNumpy = (hugePages: boolean): Promise<Peer | null> =>
    startPeer(options.python, [program], { NUMPY_MADVISE_HUGEPAGE: hugePages ? '1' : '0' })
  return { c: await startC(), numpy: await startNumpy(true), numpy4k: await startNumpy(false) }
}

fillTable()
const peers = await startPeers()
try {
  console.log(`${peers.c?.version ?? 'No gcc here'}; ${peers.numpy?.version ?? 'no NumPy here'}.`)
  const results: Record<string, Record<string, number>> = {}
  for (const dim of dims) results[`dim ${dim}`] = await measure(peers, dim)
  console.table(results)
  console.log(`one call for 8 cached rows of 16: ${measureCall().toFixed(0)} ns`)
} finally {
  for (const peer of Object.values(peers) as (Peer | null)[]) peer?.close()
  rmSync(idsFolder, { recursive: true })
}
