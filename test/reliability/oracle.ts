/**
 * The record, kept outside the service, of every request, its answer, and the order that the answers state,
 * from which the contents of the service follow. It is plain data, so that it can be cloned at a power cut.
 * All numbers are integers that float32 represents exactly.
 */

export const ROW_COUNT = 48
/** The numbers in a row, unless a table states its own. */
export const DIM = 4

export type Mode = 'disk' | 'os' | 'none'

/** A keyed update. All its rows get the same number in every column, so that a partial effect shows. */
export interface Operation {
  key: string
  table: string
  path: 'rows' | 'gradients'
  dim: number
  kind: 'add' | 'set'
  rows: number[]
  amount: number
}

/** An answered update and its place in the history. */
export interface Placed extends Operation {
  durability: Mode
  /** The time of the answer by `performance.now()`. */
  answeredAtMs: number
}

/** The history of a version: rows that are all `base`, and the later updates by their sequences. */
export interface History {
  base: number
  bySequence: Map<number, Placed>
  /** The sequence of the last answered snapshot, which even mode `none` must keep. */
  snapshotSequence: number
}

/**
 * A change of the table that was not answered yet. `wasSeen` says that the answer to another request shows
 * its effect.
 */
export type Change = (
  | { kind: 'put'; base: number }
  | { kind: 'rollback'; version: number }
  | { kind: 'settings'; durability: Mode }
) & {
  wasSeen: boolean
}

export interface TableOracle {
  name: string
  durability: Mode
  dim: number
  current: number
  highest: number
  versions: Map<number, History>
  pending: Change | null
}

export interface NewTable {
  name: string
  durability: Mode
  dim?: number
}

export interface Oracle {
  tables: TableOracle[]
  /** The updates that were sent and never answered, which are to be sent again. */
  unanswered: Operation[]
  violations: string[]
}

export const KEEP_VERSIONS = 3

export const createHistory = (base: number): History => ({ base, bySequence: new Map(), snapshotSequence: 0 })

export const createOracle = (tables: readonly NewTable[]): Oracle => ({
  tables: tables.map(({ name, durability, dim = DIM }) => ({
    name,
    durability,
    dim,
    current: 1,
    highest: 1,
    versions: new Map([[1, createHistory(0)]]),
    pending: null,
  })),
  unanswered: [],
  violations: [],
})

export const findTable = (oracle: Oracle, name: string): TableOracle => {
  const table = oracle.tables.find((one) => one.name === name)
  if (table === undefined) throw new Error(`the oracle knows no table ${name}`)
  return table
}

/**
 * Returns the history of a version, and begins that of a pending replacement. Returns undefined when the
 * version cannot exist or was removed.
 */
const historyOf = (table: TableOracle, version: number): History | undefined => {
  const { pending } = table
  if (pending?.kind === 'put' && version === table.highest + 1) {
    pending.wasSeen = true
    const begun = table.versions.get(version) ?? createHistory(pending.base)
    table.versions.set(version, begun)
  }
  if (pending?.kind === 'rollback' && version === pending.version && version !== table.current)
    pending.wasSeen = true
  return table.versions.get(version)
}

/** Records an answered update. Two updates at one place, or one update at two places, are violations. */
export const place = (
  oracle: Oracle,
  operation: Operation,
  at: { version: number; sequence: number; durability: Mode },
): void => {
  const table = findTable(oracle, operation.table)
  const history = historyOf(table, at.version)
  if (history === undefined) {
    if (at.version > table.highest)
      oracle.violations.push(`phantom: ${operation.key} went into version ${at.version} of ${table.name}`)
    return
  }
  const other = history.bySequence.get(at.sequence)
  if (other !== undefined && other.key !== operation.key) {
    oracle.violations.push(
      `duplicate: ${operation.key} and ${other.key} are both ${table.name} ${at.version}-${at.sequence}`,
    )
  }
  history.bySequence.set(at.sequence, {
    ...operation,
    durability: at.durability,
    answeredAtMs: performance.now(),
  })
}

/** Records that the pending change took effect. */
export const adoptChange = (table: TableOracle): void => {
  const { pending } = table
  table.pending = null
  if (pending === null) return
  if (pending.kind === 'settings') table.durability = pending.durability
  if (pending.kind === 'rollback') table.current = pending.version
  if (pending.kind === 'put') {
    table.highest++
    table.current = table.highest
    if (!table.versions.has(table.highest)) table.versions.set(table.highest, createHistory(pending.base))
  }
  const newest = [...table.versions.keys()].sort((a, b) => b - a)
  for (const version of newest.slice(KEEP_VERSIONS))
    if (version !== table.current) table.versions.delete(version)
}

/** Records that the pending change did not take effect. */
export const dropChange = (table: TableOracle): void => {
  const { pending } = table
  table.pending = null
  if (pending?.kind === 'put') table.versions.delete(table.highest + 1)
}

/** A gap of this many sequences is one that a start skipped, because so many updates are never sent. */
const SKIP_MIN = 10_000

/** Lists the sequences up to `sequence` that no update has, without those that a start skipped. */
export const findMissing = (history: History, sequence: number): number[] => {
  const known = [...history.bySequence.keys()].filter((at) => at <= sequence).toSorted((a, b) => a - b)
  const ends = known.at(-1) === sequence ? known : [...known, sequence + 1]
  return ends.flatMap((at, i) => {
    const before = i === 0 ? 0 : ends[i - 1]
    const count = at - before - 1
    return count >= SKIP_MIN ? [] : Array.from({ length: count }, (_, k) => before + 1 + k)
  })
}

/** Returns the number of each row after the updates through `sequence`; null when one of them is missing. */
export const foldRows = (history: History, sequence: number): number[] | null => {
  if (findMissing(history, sequence).length > 0) return null
  const rows = Array.from({ length: ROW_COUNT }, () => history.base)
  const updates = [...history.bySequence].filter(([at]) => at <= sequence).toSorted(([a], [b]) => a - b)
  for (const [, operation] of updates) {
    for (const row of operation.rows)
      rows[row] = operation.kind === 'set' ? operation.amount : rows[row] + operation.amount
  }
  return rows
}
