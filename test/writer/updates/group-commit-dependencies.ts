/** Sets a group commit up over a real store, with tables of its own, for tests that need no whole writer. */
import type { Dtype, Durability, Optimizer } from '../../../src/core/types.ts'
import { openStore } from '../../../src/storage/open-store.ts'
import type { Store } from '../../../src/storage/store.ts'
import { Idempotency } from '../../../src/writer/updates/idempotency.ts'
import type { UpdateArguments } from '../../../src/writer/protocol.ts'
import { beginBuild, type TableModel, type VersionModel } from '../../../src/writer/lifecycle/table-model.ts'
import { GroupCommit } from '../../../src/writer/updates/group-commit.ts'
import { instantiateApplyKernels } from '../../../src/kernels/apply.ts'
import { Arena } from '../../../src/tables/arena.ts'
import { ROWS_AT } from '../../../src/layout/table-layout.ts'
import { TableMemory } from '../../../src/tables/memory.ts'
import { commitAside } from '../../helpers/aside.ts'
import { makeDataDir } from '../../helpers/data-dir.ts'

export interface NewTable {
  name?: string
  rows?: number
  dim?: number
  dtype?: Dtype
  durability?: Durability
  optimizer?: Optimizer
}

/** A group commit over a real store, with tables that no HTTP worker and no catalog has. */
export interface GroupCommitSetup {
  groupCommit: GroupCommit
  store: Store
  keys: Idempotency
  arena: Arena
  /** The number of transactions in each log so far. */
  commits: { disk: number; os: number }
  fatal: unknown[]
  add: (table?: NewTable) => TableModel
  close: () => void
}

export const makeGroupCommit = (): GroupCommitSetup => {
  const { dataDir, remove } = makeDataDir()
  const { store } = openStore(dataDir)
  const commits = { disk: 0, os: 0 }
  const count = (mode: 'disk' | 'os', commit: Store['commit']): Store['commit'] => {
    return (batch) => {
      commits[mode]++
      commit.call(store, batch)
    }
  }
  store.commit = count('disk', store.commit)
  store.commitOs = count('os', store.commitOs)
  const memory = new TableMemory(2 ** 32)
  const arena = new Arena(64 * 1024 * 1024)
  const keys = new Idempotency(store)
  const tables = new Map<string, TableModel>()
  const fatal: unknown[] = []
  const groupCommit = new GroupCommit({
    store,
    memory,
    arena,
    keys,
    kernels: instantiateApplyKernels(arena.memory),
    find: (name) => tables.get(name) as TableModel,
    listLogs: () => [],
    onFatal: (error) => fatal.push(error),
    onCommit: () => {},
  })
  const add = ({
    name = 'user',
    rows = 6,
    dim = 2,
    dtype = 'float32',
    durability = 'disk',
    optimizer,
  }: NewTable = {}): TableModel => {
    const settings = { durability, ...(optimizer && { optimizer }) }
    const build = beginBuild(
      new Map(),
      memory,
      `v${name}`,
      { name, rows, dim, dtype, settings, precondition: {} },
      0,
    )
    const table = { ...commitAside(build), id: store.takeId() }
    tables.set(name, table)
    return table
  }
  const close = (): void => {
    store.close()
    remove()
  }
  return { groupCommit, store, keys, arena, commits, fatal, add, close }
}

/** Returns a `set` of these rows; `changes` replace any part of it. */
export const update = (
  indices: number[],
  values: number[],
  changes: Partial<UpdateArguments> = {},
): UpdateArguments => ({
  name: 'user',
  operation: 'set',
  indices: Int32Array.from(indices),
  values: Float32Array.from(values),
  precondition: {},
  ...changes,
})

/**
 * Describes a version exactly: rows as stored, the optimizer state of the rows that have one, steps and
 * sequence.
 */
export const readVersion = ({ handle, table, state }: VersionModel) => {
  const rowsOf = (table: VersionModel['table']): string[] =>
    table.handle.segments.flatMap(({ memory, rowCount }) =>
      Array.from({ length: rowCount }, (_, row) =>
        Buffer.from(new Uint8Array(memory.buffer, ROWS_AT + row * table.rowBytes, table.rowBytes)).toString(
          'hex',
        ),
      ),
    )
  return {
    version: handle.version,
    sequence: table.readSequence(),
    step: table.readStep(),
    rows: rowsOf(table),
    state: state && {
      kind: state.kind,
      rows: rowsOf(state.rows).map((row, i) => (state.touched[i] === 1 ? row : null)),
    },
  }
}
