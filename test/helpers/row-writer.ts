/**
 * A worker thread that writes whole rows of one number each, as the writer does, until it is terminated.
 * Tests of readers run it.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Arena } from '../../src/tables/arena.ts'
import { scatterStored } from '../../src/tables/table-writer.ts'
import type { VersionHandle } from '../../src/tables/handles.ts'
import { TableWriter } from '../../src/tables/table-writer.ts'

const { handle, hotRows } = workerData as { handle: VersionHandle; hotRows: number }
const table = new TableWriter(handle)
const arena = new Arena(1024 * 1024)
const ids = arena.reserve(hotRows * 4)
const rows = arena.reserve(hotRows * table.rowBytes)
for (let i = 0; i < hotRows; i++) arena.int32[ids.at / 4 + i] = i
parentPort?.postMessage('writing')
for (let step = 1; ; step++) {
  arena.float32.fill(step, rows.at / 4, (rows.at + hotRows * table.rowBytes) / 4)
  table.write({ sequence: step, step: 0, nowMs: 0 }, () =>
    scatterStored(table, arena, { idsAt: ids.at, count: hotRows, sourceAt: rows.at }),
  )
}
