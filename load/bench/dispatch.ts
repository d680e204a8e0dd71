/**
 * Measures a gather in the HTTP worker and as a task of the pool. The threshold of workers/dispatch.ts comes
 * from these figures.
 *
 *     node load/bench/dispatch.ts
 *
 * It prints microseconds of wall time and of CPU (all threads) per gather of random rows, medians of
 * interleaved repeats.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MessageChannel } from 'node:worker_threads'
import { WriterClient } from '../../src/writer/client.ts'
import { Writer } from '../../src/writer/writer.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { type GatherJob, gatherRows } from '../../src/tables/gather.ts'
import { ComputePool } from '../../src/workers/pool.ts'

const ROWS = 1_000_000
const REPEATS = 5

interface Cost {
  wallUs: number
  cpuUs: number
}

const measure = async (work: () => void | Promise<void>, count: number): Promise<Cost> => {
  const cpu = process.cpuUsage()
  const from = performance.now()
  for (let i = 0; i < count; i++) await work()
  const wallUs = ((performance.now() - from) * 1000) / count
  const { user, system } = process.cpuUsage(cpu)
  return { wallUs, cpuUs: (user + system) / count }
}

const median = (costs: Cost[], pick: (cost: Cost) => number): string => {
  const sorted = costs.map(pick).toSorted((a, b) => a - b)
  return sorted[sorted.length >> 1].toFixed(0).padStart(7)
}

const main = async (): Promise<void> => {
  const writer = new Writer({ quotaBytes: 2 ** 31 })
  const dataDir = mkdtempSync(join(tmpdir(), 'gatherd-dispatch-'))
  await writer.load({ dataDir })
  const { port1, port2 } = new MessageChannel()
  writer.connect(port1)
  const client = new WriterClient(port2)
  const pool = new ComputePool(1, 64)
  const arena = new Arena(256 * 1024 * 1024)
  process.stdout.write('ids     dim   bytes     inline: wall     cpu   pool: wall     cpu (us)\n')
  for (const dim of [16, 64]) {
    const { buildId, segments } = await client.call('beginBuild', {
      name: 'bench',
      rows: ROWS,
      dim,
      dtype: 'float32',
      settings: { keep_versions: 1 },
      precondition: {},
    })
    // Memory that was never written is one page of zeros, which every cache holds.
    for (const { memory, rowCount } of segments)
      new Float32Array(memory.buffer, ROWS_AT, rowCount * dim).fill(1)
    await client.call('commitBuild', { buildId })
    const reader = client.registry.find('bench').current
    for (const count of [1024, 8192, 32_768, 65_536]) {
      const region = arena.reserve(count * 4 + count * dim * 4 + 64)
      const job: GatherJob = {
        format: 'stored',
        idsAt: region.at,
        count,
        outAt: region.at + count * 4,
        fillAt: region.at + count * 4,
      }
      for (let i = 0; i < count; i++) arena.int32[region.at / 4 + i] = Math.floor(Math.random() * ROWS)
      const costs: { inline: Cost[]; pool: Cost[] } = { inline: [], pool: [] }
      const runs = Math.max(20, Math.floor(200_000 / count))
      for (let repeat = 0; repeat <= REPEATS; repeat++) {
        const inline = await measure(() => gatherRows(reader, arena.memory, job), runs)
        const pooled = await measure(() => pool.run(reader, arena.memory, job), runs)
        // The first round warms up.
        if (repeat === 0) continue
        costs.inline.push(inline)
        costs.pool.push(pooled)
      }
      const columns = [costs.inline, costs.pool].flatMap((list) => [
        median(list, (cost) => cost.wallUs),
        median(list, (cost) => cost.cpuUs),
      ])
      process.stdout.write(
        `${String(count).padEnd(7)} ${String(dim).padEnd(5)} ${String(count * dim * 4).padEnd(9)} ` +
          `${columns.join('  ')}\n`,
      )
      arena.release(region)
    }
  }
  client.close()
  await writer.close()
  rmSync(dataDir, { recursive: true, force: true })
  await pool.close()
}

await main()
