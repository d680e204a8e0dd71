/** The order of updates, and the batches in which they are journaled. */
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { type ApplyContext, computeUpdate, enterPending, noteJournaled, type PlannedUpdate } from './apply.ts'
import { failpoint } from '../../storage/failpoints.ts'
import type { JournalRecord } from '../../storage/journal-record.ts'
import type { RememberedKey } from '../../storage/key-memory.ts'
import type { Store } from '../../storage/store.ts'
import type { Idempotency, KeyReservation } from './idempotency.ts'
import { refuseAdapted } from '../lifecycle/adapters.ts'
import { PendingRows } from './pending.ts'
import type { PreImageLog } from './pre-images.ts'
import type { UpdateResult } from '../protocol.ts'
import { toJournalRecord } from '../lifecycle/to-catalog.ts'
import { currentState, type TableModel, type VersionModel, lastSequence } from '../lifecycle/table-model.ts'
import { reserveSequences } from '../lifecycle/reserve-sequences.ts'
import { makeVisible } from './visible.ts'
import { countIndices, countValues, type WriterUpdate } from './update.ts'

export interface GroupCommitDependencies extends Omit<ApplyContext, 'nowMs'> {
  store: Store
  keys: Idempotency
  /** Refuses TABLE_NOT_FOUND. */
  find: (name: string) => TableModel
  /** Returns the pre-image logs of all running exports, of any table. */
  listLogs: () => PreImageLog[]
  /** Called when rows may be half written: the process must end and restart from the disk. */
  onFatal: (error: unknown) => void
  /** Called after each transaction, with its error or null. */
  onCommit: (error: unknown) => void
}

interface Waiting {
  update: WriterUpdate
  reservation: KeyReservation | null
  bytes: number
  resolve: (result: UpdateResult) => void
  reject: (error: unknown) => void
}

/** A computed update that waits for the transaction. `planned` is null when it names no rows. */
interface Journaled {
  waiting: Waiting
  table: TableModel
  planned: PlannedUpdate | null
  result: UpdateResult
}

/** The versions that a batch has computed rows of; `last` is entered when another update follows. */
type PendingVersions = Map<VersionModel, { rows: PendingRows; last: PlannedUpdate }>

/**
 * Group commit. The updates that arrived while the disk was busy form one batch: each is checked and computed
 * on top of those before it; one transaction journals all of them; then they become visible and are answered.
 * A batch is processed in one callback of the event loop, so nothing else runs between its parts.
 */
export class GroupCommit {
  readonly #dependencies: GroupCommitDependencies
  #queue: Waiting[] = []
  #queuedBytes = 0
  #isScheduled = false
  #onIdle: (() => void)[] = []

  constructor(dependencies: GroupCommitDependencies) {
    this.#dependencies = dependencies
  }

  /**
   * Queues an update. Resolves when it is visible, and as durable as the settings of its table require.
   * Refuses OVERLOADED, and rejects with the error of an update that is refused.
   */
  submit(update: WriterUpdate): Promise<UpdateResult> {
    const { keys, find } = this.#dependencies
    const bytes = (countValues(update) + countIndices(update)) * 4
    if (this.#queuedBytes + bytes > LIMITS.updateBytesInFlightMax) {
      refuse('OVERLOADED', 'too many updates are queued; try again later', {
        headers: { 'Retry-After': '1' },
      })
    }
    const reservation = update.key === undefined ? null : keys.reserve(find(update.name), update.key)
    this.#queuedBytes += bytes
    if (!this.#isScheduled) this.#schedule()
    return new Promise((resolve, reject) => this.#queue.push({ update, reservation, bytes, resolve, reject }))
  }

  /** Resolves when no update is queued. */
  whenIdle(): Promise<void> {
    return this.#isScheduled ? new Promise((resolve) => this.#onIdle.push(resolve)) : Promise.resolve()
  }

  #schedule(): void {
    this.#isScheduled = true
    setImmediate(() => this.#commitBatch())
  }

  #commitBatch(): void {
    const endsAt = performance.now() + LIMITS.commitBatchMsMax
    const journaled: Journaled[] = []
    const pending: PendingVersions = new Map()
    let bytes = 0
    let count = 0
    for (const waiting of this.#queue) {
      if (count > 0 && (bytes > LIMITS.commitBatchBytesMax || performance.now() > endsAt)) break
      count++
      bytes += waiting.bytes
      const computed = this.#compute(waiting, pending)
      if (computed !== null) journaled.push(computed)
    }
    this.#queue = this.#queue.slice(count)
    this.#queuedBytes -= bytes
    const isOfDisk = ({ table }: Journaled): boolean => table.settings.durability === 'disk'
    this.#commit(journaled.filter(isOfDisk), 'disk')
    this.#commit(
      journaled.filter((update) => !isOfDisk(update)),
      'os',
    )
    if (this.#queue.length > 0) this.#schedule()
    else {
      this.#isScheduled = false
      for (const resolve of this.#onIdle.splice(0)) resolve()
    }
  }

  /**
   * Computes one update; null if it has already been answered, because it was refused or needs no journal.
   */
  #compute(waiting: Waiting, pending: PendingVersions): Journaled | null {
    const { update, reservation } = waiting
    try {
      const { keys, find, store } = this.#dependencies
      if (update.deadlineAt !== undefined && Date.now() >= update.deadlineAt) {
        refuse('DEADLINE_EXCEEDED', 'X-Request-Timeout-Ms had passed before the update could begin')
      }
      const table = find(update.name)
      const first = reservation === null ? null : keys.find(reservation, table)
      if (first !== null) {
        this.#answer(waiting, () => waiting.resolve(first))
        return null
      }
      checkPrecondition(update.precondition, currentState(table))
      refuseAdapted(table)
      if (store.failure !== null) throw store.failure
      if (store.journalBytes() > LIMITS.journalBytesMax) {
        refuse('OVERLOADED', 'the journal is full: snapshots cannot keep up with the updates', {
          headers: { 'Retry-After': '2' },
        })
      }
      reserveSequences(store, table, table.current)
      return this.#plan(waiting, table, pending)
    } catch (error) {
      this.#answer(waiting, () => waiting.reject(error))
      return null
    }
  }

  #plan(waiting: Waiting, table: TableModel, pending: PendingVersions): Journaled | null {
    const { update } = waiting
    const { current, settings } = table
    const isJournaled = settings.durability !== 'none' || current.stored.journalPins > 0
    const before = pending.get(current)
    const rows = before?.rows ?? new PendingRows()
    if (before !== undefined) enterPending(rows, before.last)
    const planned = computeUpdate({ ...this.#dependencies, nowMs: Date.now() }, table, update, rows)
    const result: UpdateResult = {
      version: current.handle.version,
      sequence: planned?.sequence ?? lastSequence(current),
      rowsUpdated: planned?.rows.length ?? 0,
      durability: settings.durability,
      replayed: false,
    }
    if (planned !== null && isJournaled) pending.set(current, { rows, last: planned })
    if (isJournaled) return { waiting, table, planned, result }
    this.#finish({ waiting, table, planned, result }, true)
    return null
  }

  /**
   * Journals and finishes the updates of one mode, all or none. `os` includes `none` while a snapshot runs.
   */
  #commit(journaled: readonly Journaled[], mode: 'disk' | 'os'): void {
    if (journaled.length === 0) return
    const { store, arena, keys, onCommit } = this.#dependencies
    const records: JournalRecord[] = []
    const remembered: RememberedKey[] = []
    for (const { waiting, table, planned, result } of journaled) {
      if (planned !== null) records.push(toJournalRecord(table, planned, arena))
      if (waiting.reservation !== null && survives(table))
        remembered.push(keys.describe(waiting.reservation, result))
    }
    try {
      if (mode === 'disk') store.commit({ records, keys: remembered })
      else store.commitOs({ records, keys: remembered })
    } catch (error) {
      onCommit(error)
      for (const { waiting, planned } of journaled) {
        if (planned !== null) {
          arena.release(planned.postImages.region)
          planned.model.planned = null
        }
        this.#answer(waiting, () => waiting.reject(error))
      }
      return
    }
    failpoint('update:committed')
    const unsaved = journaled.filter(({ table }) => !survives(table))
    for (const update of journaled) this.#finish(update, unsaved.includes(update))
    onCommit(null)
  }

  /**
   * Makes an update visible, and answers it. `keyIsUnsaved` says that its key, if it has one, is not in the
   * store.
   */
  #finish({ waiting, table, planned, result }: Journaled, keyIsUnsaved: boolean): void {
    const { arena, listLogs, onFatal, keys } = this.#dependencies
    if (planned !== null) {
      const { model, sequence } = planned
      try {
        makeVisible(arena, planned, listLogs())
      } catch (error) {
        onFatal(error)
        throw error
      }
      if (model.planned?.sequence === sequence) model.planned = null
      noteJournaled(table, planned)
    }
    if (waiting.reservation !== null && keyIsUnsaved)
      keys.keepUnsaved(table.current, waiting.reservation, result)
    failpoint('update:visible')
    this.#answer(waiting, () => waiting.resolve(result))
  }

  /** Releases the key of an update, then resolves or rejects the promise of its caller. */
  #answer({ reservation }: Waiting, finish: () => void): void {
    if (reservation !== null) this.#dependencies.keys.release(reservation)
    finish()
  }
}

/**
 * Whether recovery would replay this table's new journal records, so that the same transaction must store
 * their keys. Records of mode `none` usually follow a gap until the snapshot that needs them is listed.
 */
const survives = ({ settings, current: { stored, table } }: TableModel): boolean =>
  settings.durability !== 'none' || stored.durableSequence >= table.readSequence()
