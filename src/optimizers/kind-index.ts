/** Finds a kind by its name, and by its codes on disk. Loading this fails if two kinds share one of them. */
import { assert } from '../core/assert.ts'
import type { OptimizerKind, StateDeclaration } from './kind.ts'
import { OPTIMIZER_KINDS } from './kinds.ts'

const indexBy = <Code>(what: string, codes: readonly (readonly [Code, OptimizerKind])[]) => {
  const index = new Map(codes)
  assert(index.size === codes.length, `no two optimizer kinds share a ${what}`)
  return index
}

const stateful = OPTIMIZER_KINDS.flatMap((kind) => (kind.state === null ? [] : [{ kind, state: kind.state }]))
const byName = indexBy(
  'name',
  OPTIMIZER_KINDS.map((kind) => [kind.kind, kind]),
)
const byJournalCode = indexBy(
  'journal code',
  stateful.map(({ kind, state }) => [state.journalCode, kind]),
)
const bySnapshotCode = indexBy(
  'snapshot code',
  stateful.map(({ kind, state }) => [state.snapshotCode, kind]),
)

/**
 * The declaration of a kind. Settings were checked against the schema, so an unknown name is our own mistake.
 */
export const findKind = (name: string): OptimizerKind => {
  const kind = byName.get(name)
  assert(kind !== undefined, 'an optimizer is of a kind that is listed')
  return kind
}

const findState = (name: string): StateDeclaration => {
  const { state } = findKind(name)
  assert(state !== null, 'only a kind with state has codes on disk')
  return state
}

/** The code of a kind's state in a journal record. */
export const toJournalCode = (name: string): number => {
  const { journalCode } = findState(name)
  assert(
    Number.isInteger(journalCode) && journalCode > 0 && journalCode < 256,
    'a journal code is a byte above 0',
  )
  return journalCode
}

/** The name of the kind whose state has this code in a journal record; undefined for a code that is none. */
export const fromJournalCode = (code: number): string | undefined => byJournalCode.get(code)?.kind

/** The code of a kind's state in the header of a snapshot. */
export const toSnapshotCode = (name: string): string => {
  const { snapshotCode } = findState(name)
  assert(typeof snapshotCode === 'string' && snapshotCode !== '', 'a snapshot code is a word')
  return snapshotCode
}

/**
 * The name of the kind whose state has this code in the header of a snapshot; undefined for a code that is
 * none.
 */
export const fromSnapshotCode = (code: string): string | undefined => bySnapshotCode.get(code)?.kind
