/** Compares a restarted service with the oracle, which is the record of every request and answer before. */
import { type Answer, type Ask, askOrFail, readJson } from './asking.ts'
import {
  adoptChange,
  dropChange,
  findTable,
  findMissing,
  foldRows,
  type History,
  type Mode,
  type Operation,
  type Oracle,
  type Placed,
  place,
  ROW_COUNT,
  type TableOracle,
} from './oracle.ts'

export interface UpdateAnswer {
  version: number
  sequence: number
  durability: Mode
  replayed: boolean
}

interface SeenVersion {
  version: number
  sequence: number
  /** The rows in row-major order. */
  values: Float32Array
}

interface SeenTable {
  current: number
  versions: SeenVersion[]
}

/** Whether an answered update must have survived. */
export type MustSurvive = (operation: Placed) => boolean

/** Selects the updates that survive `kill -9`. */
export const surviveKill: MustSurvive = ({ durability }) => durability !== 'none'

const ALL_ROWS = { indices: Array.from({ length: ROW_COUNT }, (_, row) => row) }

/** Reads a table in all its versions. It must not change while it is read. */
export const seeTable = async (ask: Ask, name: string): Promise<SeenTable> => {
  const listed = readJson<{ versions: { version: number; current: boolean }[] }>(
    await askOrFail(ask, 'GET', `/v1/tables/${name}/versions`),
  )
  const versions: SeenVersion[] = []
  for (const { version } of listed.versions) {
    const answer = await askOrFail(ask, 'POST', `/v1/tables/${name}/lookup?version=${version}`, {
      body: ALL_ROWS,
      headers: { accept: 'application/octet-stream' },
    })
    const values = new Float32Array(
      answer.body.buffer.slice(answer.body.byteOffset, answer.body.byteOffset + answer.body.length),
    )
    versions.push({ version, sequence: Number(answer.headers['x-table-sequence']), values })
  }
  return { current: listed.versions.find(({ current }) => current)?.version ?? 0, versions }
}

/** Sends an update for the first time or again. */
export const sendOperation = (
  ask: Ask,
  { table, path, kind, rows, amount, dim, key }: Operation,
): Promise<Answer | null> => {
  const fill = (value: number) => rows.map(() => Array.from({ length: dim }, () => value))
  const body =
    path === 'rows'
      ? { op: kind, indices: rows, values: fill(amount) }
      : { indices: rows, gradients: fill(-amount) }
  return ask('POST', `/v1/tables/${table}/${path}`, { body, headers: { 'idempotency-key': key } })
}

/**
 * Compares every table with the oracle after a restart, while no other request runs, sends unanswered updates
 * again, and adds to the violations of the oracle. Returns the time of the oldest answer whose update of mode
 * `os` is lost.
 */
export const checkRecovered = async (
  oracle: Oracle,
  ask: Ask,
  mustSurvive: MustSurvive,
): Promise<{ oldestLostAtMs: number | null }> => {
  const seen = new Map<string, SeenTable>()
  let oldestLostAtMs: number | null = null
  for (const table of oracle.tables) {
    const found = await seeTable(ask, table.name)
    seen.set(table.name, found)
    settleChange(oracle, table, found)
    for (const { version, sequence } of found.versions) {
      const history = table.versions.get(version)
      if (history === undefined) continue
      for (const lost of takeLost(oracle, table, version, history, sequence, mustSurvive)) {
        if (lost.durability === 'os')
          oldestLostAtMs = Math.min(oldestLostAtMs ?? Number.POSITIVE_INFINITY, lost.answeredAtMs)
      }
    }
  }
  // A process that ends in between is compared again after the next start.
  if (!(await resend(oracle, ask, seen))) return { oldestLostAtMs }
  await askAgain(oracle, ask, mustSurvive)
  for (const table of oracle.tables) {
    for (const one of seen.get(table.name)?.versions ?? []) compareVersion(oracle, table, one)
  }
  return { oldestLostAtMs }
}

/**
 * Finds out whether the pending change took effect, and checks that the table has the versions it must have.
 */
const settleChange = (oracle: Oracle, table: TableOracle, { current, versions }: SeenTable): void => {
  const { pending, name } = table
  const target =
    pending?.kind === 'put' ? table.highest + 1 : pending?.kind === 'rollback' ? pending.version : null
  if (pending?.kind === 'settings') {
    // Later answers to updates name the mode. Both modes survive what this test does.
    table.pending = null
  } else if (target !== null && current === target) adoptChange(table)
  else {
    if (pending?.wasSeen)
      oracle.violations.push(`lost: ${name} had become version ${target}, and is version ${current}`)
    dropChange(table)
  }
  if (current !== table.current)
    oracle.violations.push(`lost: the current version of ${name} is ${current}, not ${table.current}`)
  const found = versions.map(({ version }) => version).join()
  const expected = [...table.versions.keys()].sort((a, b) => a - b).join()
  if (found !== expected) oracle.violations.push(`lost: ${name} has the versions ${found}, not ${expected}`)
}

/** Removes lost updates from the history and returns them. */
const takeLost = (
  oracle: Oracle,
  { name }: TableOracle,
  version: number,
  history: History,
  sequence: number,
  mustSurvive: MustSurvive,
): Placed[] => {
  const gone = [...history.bySequence].filter(([at]) => at > sequence)
  for (const [at, operation] of gone) {
    history.bySequence.delete(at)
    if (!mustSurvive(operation)) continue
    oracle.violations.push(
      `lost: ${operation.key}, answered as ${name} ${version}-${at}; the table is at ${version}-${sequence}`,
    )
  }
  if (sequence < history.snapshotSequence) {
    oracle.violations.push(
      `lost: ${name} ${version}-${history.snapshotSequence} was in a snapshot; the table is at ${version}-${sequence}`,
    )
    history.snapshotSequence = sequence
  }
  return gone.map(([, operation]) => operation)
}

/** Sends unanswered updates again, so that each is applied once. Returns false when the process has ended. */
const resend = async (oracle: Oracle, ask: Ask, seen: ReadonlyMap<string, SeenTable>): Promise<boolean> => {
  for (;;) {
    const [operation] = oracle.unanswered
    if (operation === undefined) return true
    const answer = await sendOperation(ask, operation)
    if (answer === null) return false
    oracle.unanswered.shift()
    if (answer.status !== 200) {
      oracle.violations.push(
        `refused: ${operation.key}, sent again, was answered ${answer.status} ${answer.body.toString()}`,
      )
      continue
    }
    const result = readJson<UpdateAnswer>(answer)
    const before = seen.get(operation.table)?.versions.find(({ version }) => version === result.version)
    // A version that no longer exists gives no evidence.
    if (before !== undefined && result.replayed !== result.sequence <= before.sequence) {
      const { version, sequence, replayed } = result
      const what = replayed ? 'its key is known, its rows are not' : 'its rows are there, its key is not'
      oracle.violations.push(
        `half: ${operation.key} is ${operation.table} ${version}-${sequence} after ${version}-${before.sequence}: ${what}`,
      )
    }
    place(oracle, operation, result)
  }
}

const ASKED_AGAIN = 3

/** Sends answered updates again, which must get the same answer and change nothing. */
const askAgain = async (oracle: Oracle, ask: Ask, mustSurvive: MustSurvive): Promise<void> => {
  for (const table of oracle.tables) {
    for (const [version, { bySequence }] of table.versions) {
      for (const [sequence, operation] of [...bySequence]
        .filter(([, one]) => mustSurvive(one))
        .slice(-ASKED_AGAIN)) {
        const answer = await sendOperation(ask, operation)
        if (answer === null) return
        const result = answer.status === 200 ? readJson<UpdateAnswer>(answer) : null
        if (result?.replayed && result.version === version && result.sequence === sequence) continue
        oracle.violations.push(
          `duplicate: ${operation.key} was ${table.name} ${version}-${sequence}, and is ${answer.body.toString()}`,
        )
      }
    }
  }
}

const compareVersion = (
  oracle: Oracle,
  table: TableOracle,
  { version, sequence, values }: SeenVersion,
): void => {
  const history = table.versions.get(version)
  if (history === undefined) return
  const expected = foldRows(history, sequence)
  const where = `${table.name} ${version}-${sequence}`
  const { dim } = table
  if (expected === null) {
    const missing = findMissing(history, sequence)
    oracle.violations.push(`phantom: nothing that was sent is at the sequences ${missing.join()} of ${where}`)
    return
  }
  const wrong = values.findIndex((value, i) => value !== expected[Math.floor(i / dim)])
  if (wrong < 0 && values.length === ROW_COUNT * dim) return
  const row = Math.floor(wrong / dim)
  oracle.violations.push(
    `half: row ${row} of ${where} has ${values[wrong]} at column ${wrong % dim}, not ${expected[row]}`,
  )
}

/** Returns the rows that one table must have at a sequence. */
export const expectedRows = (
  oracle: Oracle,
  name: string,
  version: number,
  sequence: number,
): number[] | null => {
  const history = findTable(oracle, name).versions.get(version)
  return history === undefined ? null : foldRows(history, sequence)
}
