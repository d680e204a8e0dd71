/**
 * A sequence of client operations that passes every failpoint of a writer, and a model of what the writer
 * must hold after each of them.
 */
import type { Settings } from '../../src/core/types.ts'
import type { WriterClient } from '../../src/writer/client.ts'
import type { VersionModel } from '../../src/writer/lifecycle/table-model.ts'
import type { Writer } from '../../src/writer/writer.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'

/** An operation that a client requests. Tables have one column of numbers that float32 represents exactly. */
export type Operation =
  | { kind: 'put'; name: string; values: number[]; settings?: Partial<Settings> }
  | {
      kind: 'update'
      name: string
      operation: 'set' | 'add' | 'gradients'
      indices: number[]
      values: number[]
      key: string
    }
  | { kind: 'patch'; name: string; settings: Partial<Settings> }
  | { kind: 'rollback'; name: string; version: number }
  | { kind: 'remove'; name: string }
  | { kind: 'putAlias'; alias: string; table: string }
  | { kind: 'removeAlias'; alias: string }
  | { kind: 'snapshot' }

const RATE = 0.5
const settings = (durability: 'disk' | 'os'): Partial<Settings> => ({
  durability,
  optimizer: { kind: 'sgd', learning_rate: RATE },
})
let keyCount = 0
const update = (
  name: string,
  operation: 'set' | 'add' | 'gradients',
  indices: number[],
  values: number[],
): Operation => ({
  ...{ kind: 'update', name, operation, indices, values, key: `key-${keyCount++}` },
})

/** The operations in order. Those of one group are sent at the same time. */
export const LIFE: readonly Operation[][] = [
  [{ kind: 'put', name: 'disk', values: [1, 2, 3], settings: settings('disk') }],
  [{ kind: 'put', name: 'os', values: [4, 5], settings: settings('os') }],
  [update('disk', 'set', [0], [10])],
  [update('os', 'add', [0, 1], [1, 2])],
  [
    update('disk', 'add', [0, 1], [1, 1]),
    update('disk', 'gradients', [1, 2], [4, 8]),
    update('disk', 'add', [2], [7]),
  ],
  [update('os', 'gradients', [0], [2]), update('os', 'add', [0], [16])],
  [{ kind: 'snapshot' }],
  [update('disk', 'add', [0], [32])],
  [update('os', 'add', [1], [64])],
  [{ kind: 'snapshot' }],
  [{ kind: 'put', name: 'disk', values: [7, 8] }],
  [update('disk', 'add', [0, 0], [1, 1])],
  [{ kind: 'rollback', name: 'disk', version: 1 }],
  [update('disk', 'add', [2], [100])],
  [{ kind: 'putAlias', alias: 'latest', table: 'disk' }],
  [{ kind: 'patch', name: 'os', settings: { out_of_range: 'clip', durability: 'disk' } }],
  [update('os', 'add', [1], [128])],
  [{ kind: 'put', name: 'disk', values: [9] }],
  [{ kind: 'remove', name: 'os' }],
  [{ kind: 'put', name: 'os', values: [11], settings: settings('os') }],
  [update('os', 'add', [0], [1])],
  [{ kind: 'removeAlias', alias: 'latest' }],
  [update('disk', 'add', [0], [5])],
]

/** All operations as one list. */
export const OPERATIONS: readonly Operation[] = LIFE.flat()

interface ModelTable {
  settings: Partial<Settings>
  current: number
  highest: number
  versions: Record<number, { sequence: number; rows: number[] }>
}

/** The tables and aliases that a writer must hold, as plain data. */
export interface Model {
  tables: Record<string, ModelTable>
  aliases: Record<string, string>
  /** The highest versions of deleted tables. */
  former: Record<string, number>
}

/** Returns the model after `operation`, computed from the contract and not from the code under test. */
export const applyToModel = (before: Model, operation: Operation): Model => {
  const after = structuredClone(before)
  const { tables, aliases, former } = after
  switch (operation.kind) {
    case 'put': {
      const { name, values } = operation
      const table = (tables[name] ??= {
        settings: {},
        current: 0,
        highest: former[name] ?? 0,
        versions: {},
      })
      delete former[name]
      Object.assign(table.settings, operation.settings)
      table.current = ++table.highest
      table.versions[table.current] = { sequence: 0, rows: [...values] }
      keepTwo(table)
      break
    }
    case 'update': {
      const { versions, current } = tables[operation.name]
      const model = versions[current]
      model.sequence++
      operation.indices.forEach((row, i) => {
        const value = operation.values[i]
        if (operation.operation === 'set') model.rows[row] = value
        else model.rows[row] += operation.operation === 'add' ? value : -RATE * value
      })
      break
    }
    case 'patch':
      Object.assign(tables[operation.name].settings, operation.settings)
      break
    case 'rollback':
      tables[operation.name].current = operation.version
      keepTwo(tables[operation.name])
      break
    case 'remove':
      former[operation.name] = tables[operation.name].highest
      delete tables[operation.name]
      break
    case 'putAlias':
      aliases[operation.alias] = operation.table
      break
    case 'removeAlias':
      delete aliases[operation.alias]
  }
  return after
}

const keepTwo = (table: ModelTable): void => {
  const numbers = Object.keys(table.versions)
    .map(Number)
    .sort((a, b) => b - a)
  for (const number of numbers.slice(2)) if (number !== table.current) delete table.versions[number]
}

/** The number of updates of a version: its sequence without the sequences that were skipped after a crash. */
const countUpdates = ({ table, sequences }: VersionModel): number => {
  const sequence = table.readSequence()
  return sequences.skips
    .filter(({ last }) => last <= sequence)
    .reduce((count, { first, last }) => count - (last - first + 1), sequence)
}

/** Describes a writer in the form of a model, with those settings that `like` has. */
export const describeWriter = ({ tables, aliases, formerTables }: Writer, like: Model): Model => ({
  former: Object.fromEntries(Object.keys(like.former).map((name) => [name, formerTables.highestOf(name)])),
  tables: Object.fromEntries(
    [...tables].map(([name, table]) => [
      name,
      {
        settings: Object.fromEntries(
          Object.keys(like.tables[name]?.settings ?? {}).map((key) => [
            key,
            table.settings[key as keyof Settings],
          ]),
        ),
        current: table.current.handle.version,
        highest: table.highest,
        versions: Object.fromEntries(
          [...table.versions].map(([number, model]) => {
            const { segments, rows } = model.handle
            const values = new Float32Array(segments[0].memory.buffer, ROWS_AT, rows)
            return [number, { sequence: countUpdates(model), rows: [...values] }]
          }),
        ),
      },
    ]),
  ),
  aliases: Object.fromEntries([...aliases.values()].map(({ alias, table }) => [alias, table])),
})

/** Sends an operation. Resolves when it is acknowledged, to whether the answer was a replayed one. */
export const perform = async (client: WriterClient, operation: Operation): Promise<boolean> => {
  const precondition = {}
  switch (operation.kind) {
    case 'put': {
      const { name, values, settings = {} } = operation
      const begin = { name, rows: values.length, dim: 1, dtype: 'float32' as const, settings, precondition }
      const { buildId, segments } = await client.call('beginBuild', begin)
      new Float32Array(segments[0].memory.buffer, ROWS_AT, values.length).set(values)
      await client.call('commitBuild', { buildId })
      return false
    }
    case 'update': {
      const { name, operation: kind, indices, values, key } = operation
      const request = new Uint8Array(32).fill(7)
      const { replayed } = await client.call('update', {
        ...{
          name,
          operation: kind,
          indices: Int32Array.from(indices),
          values: Float32Array.from(values),
          precondition,
        },
        key: { key, request },
      })
      return replayed
    }
    case 'patch':
      await client.call('patch', { name: operation.name, settings: operation.settings, precondition })
      return false
    case 'rollback':
      await client.call('rollback', { name: operation.name, version: operation.version, precondition })
      return false
    case 'remove':
      await client.call('remove', { name: operation.name, precondition })
      return false
    case 'putAlias':
      await client.call('putAlias', { alias: operation.alias, table: operation.table, version: null })
      return false
    case 'removeAlias':
      await client.call('removeAlias', { alias: operation.alias })
      return false
    case 'snapshot':
      await client.call('snapshot', null)
      return false
  }
}
