/** The workload of the reliability tests: clients that send updates, changes of tables and snapshots. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Answer, type Ask, askOrFail, readJson } from './asking.ts'
import { sendOperation, type UpdateAnswer } from './checking.ts'
import {
  adoptChange,
  type Change,
  createOracle,
  DIM,
  findTable,
  KEEP_VERSIONS,
  type NewTable,
  type Operation,
  type Oracle,
  place,
  ROW_COUNT,
  type TableOracle,
} from './oracle.ts'
import type { Random } from './random.ts'

/** The tables of the workload. `moving` is switched between `disk` and `os` repeatedly. */
export const TABLES: readonly NewTable[] = [
  { name: 'on-disk', durability: 'disk' },
  { name: 'in-os', durability: 'os' },
  { name: 'moving', durability: 'disk' },
  { name: 'volatile', durability: 'none' },
]

/** Tables whose snapshots are written in several pieces, between which updates run. */
export const WIDE_TABLES: readonly NewTable[] = [
  { name: 'wide-on-disk', durability: 'disk', dim: 32_768 },
  { name: 'wide-volatile', durability: 'none', dim: 32_768 },
]

const CLIENT_COUNT = 6
const BATCH_ROWS_MAX = 12
const WIDE_BATCH_ROWS_MAX = 4
const ADD_MAX = 999
const SET_MAX = 100_000
const PAUSE_MS_MAX = 60

/** Creates the tables with rows of zeros. With learning rate 1 a gradient subtracts an integer. */
export const createTables = async (ask: Ask, tables = TABLES): Promise<Oracle> => {
  for (const { name, durability, dim = DIM } of tables) {
    await askOrFail(ask, 'PUT', `/v1/tables/${name}`, {
      body: {
        rows: ROW_COUNT,
        dim,
        initializer: { kind: 'zeros' },
        durability,
        keep_versions: KEEP_VERSIONS,
        optimizer: { kind: 'sgd', learning_rate: 1 },
      },
    })
  }
  return createOracle(tables)
}

export interface WorkloadOptions {
  ask: Ask
  oracle: Oracle
  random: Random
  /** The names of the tables to change. The default is all tables. */
  tables?: readonly string[]
  /** The number of clients that send updates, each one at a time. */
  clientCount?: number
  /** Sends only updates: no replacements, rollbacks, snapshots and changes of settings. */
  updatesOnly?: boolean
  /** Classifies an answer other than 200. True means that the request had no effect. */
  onRefusal?: (answer: Answer) => boolean
}

export interface Workload {
  /** Returns the number of requests that were answered with 2xx. */
  answeredCount: () => number
  /** Every update so far, whatever its answer. */
  sent: readonly Operation[]
  /** Begins no new change of a table until {@link resume}. A running change can still end. */
  pause: () => void
  resume: () => void
  /** Sends no new request. Resolves when the last one is answered, or will never be. */
  stop: () => Promise<void>
}

let serial = 0

/** Makes a random keyed update of a table. */
export const makeOperation = (
  random: Random,
  { name: table, dim }: Pick<TableOracle, 'name' | 'dim'>,
): Operation => {
  const key = `operation-${process.pid}-${serial++}`
  const first = random.below(ROW_COUNT)
  const count = 1 + random.below(dim > DIM ? WIDE_BATCH_ROWS_MAX : BATCH_ROWS_MAX)
  const rows = Array.from({ length: count }, (_, i) => (first + i * 5) % ROW_COUNT)
  const common = { key, table, dim, rows }
  const kind = random.below(5)
  if (kind === 0) return { ...common, path: 'rows', kind: 'set', amount: random.below(SET_MAX) }
  const amount = 1 + random.below(ADD_MAX)
  return kind < 3
    ? { ...common, path: 'rows', kind: 'add', amount }
    : { ...common, path: 'gradients', kind: 'add', amount: -amount }
}

const makeChange = (oracle: Oracle, random: Random, name: string): Change => {
  const table = findTable(oracle, name)
  const kind = random.below(name === 'moving' ? 3 : 2)
  if (kind === 0) return { kind: 'put', base: random.below(SET_MAX), wasSeen: false }
  if (kind === 1)
    return { kind: 'rollback', version: random.pick([...table.versions.keys()]), wasSeen: false }
  return { kind: 'settings', durability: table.durability === 'disk' ? 'os' : 'disk', wasSeen: false }
}

const sendChange = (ask: Ask, { name, dim }: TableOracle, change: Change) => {
  const path = `/v1/tables/${name}`
  if (change.kind === 'rollback')
    return ask('POST', `${path}/rollback`, { body: { version: change.version } })
  if (change.kind === 'settings') return ask('PATCH', path, { body: { durability: change.durability } })
  return ask('PUT', path, {
    body: { rows: ROW_COUNT, dim, initializer: { kind: 'constant', value: change.base } },
  })
}

/**
 * Sends updates, changes and snapshots until it is stopped. A client stops by itself when it gets no answer.
 */
export const startWorkload = (options: WorkloadOptions): Workload => {
  const { ask, oracle, random, clientCount = CLIENT_COUNT, updatesOnly = false, onRefusal } = options
  const names = options.tables ?? oracle.tables.map(({ name }) => name)
  let stopped = false
  let paused = false
  let answeredCount = 0
  const sent: Operation[] = []

  const isRefusal = (answer: Answer, what: string): boolean => {
    if (onRefusal !== undefined) return onRefusal(answer)
    oracle.violations.push(`refused: ${what} was answered ${answer.status} ${answer.body.toString()}`)
    return answer.status < 500
  }

  const update = async (): Promise<boolean> => {
    const operation = makeOperation(random, findTable(oracle, random.pick(names)))
    sent.push(operation)
    const answer = await sendOperation(ask, operation)
    if (answer?.status === 200) {
      place(oracle, operation, readJson<UpdateAnswer>(answer))
      answeredCount++
    } else if (answer === null || !isRefusal(answer, operation.key)) oracle.unanswered.push(operation)
    return answer !== null
  }

  const change = async (): Promise<boolean> => {
    const table = findTable(oracle, random.pick(names))
    const next = makeChange(oracle, random, table.name)
    table.pending = next
    const answer = await sendChange(ask, table, next)
    if (answer === null) return false
    if (answer.status < 300) {
      answeredCount++
      adoptChange(table)
    } else if (isRefusal(answer, `${next.kind} of ${table.name}`)) table.pending = null
    else return false
    return true
  }

  const snapshot = async (): Promise<boolean> => {
    const answer = await ask('POST', '/v1/snapshots')
    if (answer?.status !== 200) return answer !== null && isRefusal(answer, 'a snapshot')
    answeredCount++
    for (const { table, version, sequence } of readJson<{
      snapshots: { table: string; version: number; sequence: number }[]
    }>(answer).snapshots) {
      const history = findTable(oracle, table).versions.get(version)
      if (history !== undefined) history.snapshotSequence = Math.max(history.snapshotSequence, sequence)
    }
    return true
  }

  const repeat = async (step: () => Promise<boolean>, pauseMsMax: number) => {
    while (!stopped) {
      if (pauseMsMax > 0) await sleep(random.below(pauseMsMax))
      if (stopped || (paused && pauseMsMax > 0)) continue
      if (!(await step())) return
    }
  }
  const clients = Array.from({ length: clientCount }, () => repeat(update, 0))
  if (!updatesOnly) clients.push(repeat(change, PAUSE_MS_MAX), repeat(snapshot, PAUSE_MS_MAX * 2))
  return {
    answeredCount: () => answeredCount,
    sent,
    pause: () => (paused = true),
    resume: () => (paused = false),
    stop: async () => {
      stopped = true
      await Promise.all(clients)
    },
  }
}
