/**
 * Measures how fast a table is back after a restart: 1 GiB of float32 rows, from the snapshot, every checksum
 * verified, beside `cat FILE > /dev/null` of the same file, and beside a program that reads it into new
 * memory and checks nothing: a virtual machine may give free memory back to its host, and then new memory
 * costs more than reading. Passes are cold (page cache dropped before each, if the system allows it) and
 * warm; figures are medians of interleaved passes.
 *
 *     node load/bench/restart.ts [passes] [gibibytes]
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningServer, startServer } from '../peers/child.ts'

const PASS_COUNT = Number(process.argv[2] ?? 3)
const GIBIBYTES = Number(process.argv[3] ?? 1)
const DIM = 64
const READ_BYTES = 4 * 1024 * 1024
const SERVER_PATH = join(import.meta.dirname, '../../src/main.ts')
const MEMORIES_URL = new URL('../../src/kernels/memories.ts', import.meta.url).href
const outPath = join(import.meta.dirname, '../out')
mkdirSync(outPath, { recursive: true })
// The data directory is not in /tmp, which may be memory.
const dataPath = mkdtempSync(join(outPath, 'restart-'))
const logPath = join(dataPath, 'gatherd.log')

const start = (): Promise<RunningServer> =>
  startServer({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', SERVER_PATH],
    env: { GATHERD_PORT: '0', GATHERD_DRAIN_MS: '0', GATHERD_DATA_DIR: join(dataPath, 'data') },
    logPath,
  })

const dropCaches = (): boolean => {
  spawnSync('sync')
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3')
    return true
  } catch {
    return false
  }
}

const timeCat = (file: string): number => {
  const from = performance.now()
  spawnSync('sh', ['-c', `cat ${file} > /dev/null`])
  return performance.now() - from
}

/**
 * Runs in a process of its own. It waits about as long as a server takes until it loads: by then the host has
 * the memory that the last process freed.
 */
const READ_PROGRAM = `
  const { createTableMemory } = await import(${JSON.stringify(MEMORIES_URL)})
  const { open } = await import('node:fs/promises')
  const handle = await open(process.argv[1])
  const { size } = await handle.stat()
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  const from = performance.now()
  const bytes = new Uint8Array(createTableMemory(Math.ceil(size / 65536) * 65536).buffer, 0, size)
  let next = 0
  const readOn = async () => {
    for (let at = next; at < size; at = next) {
      next += ${READ_BYTES}
      await handle.readv([bytes.subarray(at, at + ${READ_BYTES})], at)
    }
  }
  await Promise.all(Array.from({ length: 3 }, readOn))
  console.log(performance.now() - from)`

const timeReading = (file: string): number => {
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', READ_PROGRAM, file]
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the file could not be read: ${stderr}`)
  return Number(stdout)
}

/** Milliseconds of loading, as the service logs them, and from its start until it is ready. */
const timeRestart = async (): Promise<{ loadMs: number; readyMs: number }> => {
  const from = performance.now()
  const server = await start()
  const readyMs = performance.now() - from
  await server.stop()
  const line = readFileSync(logPath, 'utf8')
    .split('\n')
    .find((text) => text.includes('"msg":"loaded"'))
  return { loadMs: Number(JSON.parse(line ?? '{}').ms), readyMs }
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

const main = async (): Promise<void> => {
  const first = await start()
  const rows = Math.floor((GIBIBYTES * 2 ** 30) / (DIM * 4))
  const response = await fetch(`${first.url}/v1/tables/user`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ rows, dim: DIM, initializer: { kind: 'uniform', seed: 1 } }),
  })
  if (response.status !== 201) throw new Error(await response.text())
  await first.stop()
  const folder = join(dataPath, 'data/snapshots')
  const file = join(folder, readdirSync(folder)[0])
  const bytes = statSync(file).size
  for (const cold of [true, false]) {
    if (cold && !dropCaches()) {
      process.stdout.write('cold: left out, the page cache cannot be dropped here\n')
      continue
    }
    const passes: { cat: number; read: number; load: number; ready: number }[] = []
    for (let pass = 0; pass < PASS_COUNT; pass++) {
      if (cold) dropCaches()
      const cat = timeCat(file)
      if (cold) dropCaches()
      const read = timeReading(file)
      if (cold) dropCaches()
      const { loadMs, readyMs } = await timeRestart()
      passes.push({ cat, read, load: loadMs, ready: readyMs })
    }
    const speed = (ms: number) => `${(bytes / 1e6 / ms).toFixed(2)} GB/s`
    const [cat, read, load, ready] = [
      median(passes.map((one) => one.cat)),
      median(passes.map((one) => one.read)),
      median(passes.map((one) => one.load)),
      median(passes.map((one) => one.ready)),
    ]
    process.stdout.write(
      `${cold ? 'cold' : 'warm'}: cat ${speed(cat)}, read into new memory ${speed(read)}, load ` +
        `${speed(load)} (${(cat / load).toFixed(2)} and ${(read / load).toFixed(2)} of them), ready ` +
        `${(ready / 1_000).toFixed(2)} s after the start\n`,
    )
  }
}

try {
  await main()
} finally {
  rmSync(dataPath, { recursive: true, force: true })
}
