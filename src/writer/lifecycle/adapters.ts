/** LoRA adapters in the writer's memory: building, attaching and detaching them. */
import { refuse } from '../../core/errors.ts'
import type { Precondition } from '../../core/types.ts'
import { type AdapterHandle, memoriesOf } from '../../tables/handles.ts'
import { rowBytes } from '../../layout/table-layout.ts'
import type { TableMemory } from '../../tables/memory.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import type { BeginAdapterArguments } from '../protocol.ts'
import { nextSequence } from './sequences.ts'
import { currentState, type AdapterModel, type TableModel } from './table-model.ts'

/** An adapter that one HTTP worker fills; nobody else sees it. */
export interface AdapterBuild {
  name: string
  precondition: Precondition
  handle: AdapterHandle
  reservedBytes: number
}

/**
 * Reserves memory for an adapter of the current version. Refuses PRECONDITION_FAILED and
 * MEMORY_QUOTA_EXCEEDED.
 */
export const beginAdapter = (
  table: TableModel,
  memory: TableMemory,
  key: string,
  { name, version, rank, dtype, precondition }: BeginAdapterArguments,
  nowMs: number,
): AdapterBuild => {
  checkPrecondition(precondition, currentState(table))
  const { rows, dim } = checkVersion(table, version)
  const a = memory.allocate(rows, rowBytes(rank, dtype))
  try {
    // B is allocated as one row, so that it lies in one memory whatever its size.
    const b = memory.allocate(1, rank * dim * 4)
    const handle = {
      key,
      version,
      rows,
      rank,
      alpha: 0,
      dtype,
      attachedAt: nowMs,
      a: a.segments,
      b: b.segments[0].memory,
    }
    return { name, precondition, handle, reservedBytes: a.reservedBytes + b.reservedBytes }
  } catch (error) {
    memory.release(a.reservedBytes, memoriesOf(a.segments))
    throw error
  }
}

/** Makes it the adapter of the current version. Returns the adapter before it, which has to be retired. */
export const attachAdapter = ({ current }: TableModel, adapter: AdapterModel): AdapterModel | null => {
  const before = current.adapter
  current.adapter = adapter
  return before
}

/**
 * Refuses PRECONDITION_FAILED when the table is not, or no longer, in the state that the adapter was made
 * for.
 */
export const checkAdapter = (table: TableModel, build: AdapterBuild): void => {
  checkPrecondition(build.precondition, currentState(table))
  checkVersion(table, build.handle.version)
}

/** Removes the adapter from the current version and returns it; null when there was none. */
export const detachAdapter = ({ current }: TableModel): AdapterModel | null => {
  const before = current.adapter
  current.adapter = null
  return before
}

const checkVersion = ({ current }: TableModel, version: number): TableModel['current']['handle'] => {
  if (current.handle.version === version) return current.handle
  return refuse(
    'PRECONDITION_FAILED',
    `the adapter is for version ${version}, and the table has become version ${current.handle.version}`,
  )
}

/**
 * Refuses (PRECONDITION_FAILED) an update of a version with an adapter, because the adapter was trained on
 * these rows. It also refuses while a lookup still adds an adapter that was removed, since the lookup would
 * add it to the updated rows.
 */
export const refuseAdapted = ({ current }: TableModel): void => {
  if (current.adapter === null && current.leavingAdapters.size === 0) return
  refuse(
    'PRECONDITION_FAILED',
    'the table has a LoRA adapter: its rows take no updates until the adapter is merged or deleted',
  )
}

/**
 * Counts a change of the adapter as one update without rows, because lookups answer differently from now on.
 * It is called once every HTTP worker knows the adapter, so that no response names a sequence that its worker
 * has not reached. Returns the new sequence.
 */
export const countChange = (current: TableModel['current'], nowMs: number): number => {
  const { table } = current
  const sequence = nextSequence(current)
  table.write({ sequence, step: table.readStep(), nowMs }, () => {})
  return sequence
}
