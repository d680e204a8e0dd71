/**
 * Finds an optimizer kind by its name or by its codes on disk. Loading this module fails if two kinds share
 * one of these.
 */
import { assert } from '../core/assert.ts'
import type { OptimizerKind, StateDeclaration } from './kind.ts'
import { OPTIMIZER_KINDS } from './kinds.ts'

const indexBy = <Code>(label: string, codes: readonly (readonly [Code, OptimizerKind])[]) => {
  const index = new Map(codes)
  assert(index.size === codes.length, `no two optimizer kinds share a ${label}`)
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
 * Returns the declaration of a kind. Settings were validated against the schema, so an unknown name is a bug.
 */
export const findKind = (name: string): OptimizerKind => {
  const kind = byName.get(name)
  assert(kind !== undefined, 'the kind of an optimizer is listed in kinds.ts')
  return kind
}

const findState = (name: string): StateDeclaration => {
  const { state } = findKind(name)
  assert(state !== null, 'only a kind with state has codes on disk')
  return state
}

/** Returns the code that identifies the state of a kind in a journal record. */
export const toJournalCode = (name: string): number => {
  const { journalCode } = findState(name)
  assert(
    Number.isInteger(journalCode) && journalCode > 0 && journalCode < 256,
    'a journal code is an integer from 1 to 255',
  )
  return journalCode
}

/** Returns the name of the kind with this code in a journal record, or undefined if there is none. */
export const fromJournalCode = (code: number): string | undefined => byJournalCode.get(code)?.kind

/** Returns the code that identifies the state of a kind in the header of a snapshot. */
export const toSnapshotCode = (name: string): string => {
  const { snapshotCode } = findState(name)
  assert(
    typeof snapshotCode === 'string' && snapshotCode !== '',
    'a snapshot code is a string that is not empty',
  )
  return snapshotCode
}

/** Returns the name of the kind with this code in the header of a snapshot, or undefined if there is none. */
export const fromSnapshotCode = (code: string): string | undefined => bySnapshotCode.get(code)?.kind
