import { assert } from '../../core/assert.ts'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import { checkPrecondition } from '../../tables/precondition.ts'
import { type ApplyContext, computeUpdate, enterPending, type PlannedUpdate } from './apply.ts'
import { failpoint } from '../../storage/failpoints.ts'
import type { JournalRecord } from '../../storage/journal-record.ts'
import { recordBytes } from '../../storage/journal-record.ts'
import type { RememberedKey } from '../../storage/key-memory.ts'
import type { Store } from '../../storage/store.ts'
import type { Idempotency, KeyClaim } from './idempotency.ts'
import { refuseAdapted } from '../lifecycle/adapters.ts'
import { PendingRows } from './pending.ts'
import type { PreimageLog } from './pre-images.ts'
import type { UpdateResult } from '../protocol.ts'
import { toJournalRecord } from '../lifecycle/to-catalog.ts'
import { currentState, type KeeperTable, type KeeperVersion, lastSequence } from '../lifecycle/table-model.ts'
import { makeVisible } from './visible.ts'
import { countIndices, countValues, type KeeperUpdate } from './update.ts'

export interface TurnsParts extends Omit<ApplyContext, 'nowMs'> {
  store: Store
  keys: Idempotency
  /** Refuses TABLE_NOT_FOUND. */
  find: (name: string) => KeeperTable
  /** Of the exports that are under way, of any table. */
  listLogs: () => PreimageLog[]
  /** Rows may be half written: the process must end, and start from what is on disk. */
  onFatal: (error: unknown) => void
  /** A transaction has ended, well or with an error. */
  onCommit: (error: unknown) => void
}

interface Waiting {
  update: KeeperUpdate
  claim: KeyClaim | null
  bytes: number
  resolve: (result: UpdateResult) => void
  reject: (error: unknown) => void
}

/** An update that waits for the disk: its rows are computed, its answer is known. `planned` is null when it names no rows. */
interface Journaled {
  waiting: Waiting
  table: KeeperTable
  planned: PlannedUpdate | null
  result: UpdateResult
}

/** The versions that a turn computes rows for. The last update of each is entered when another one follows. */
type PendingVersions = Map<KeeperVersion, { rows: PendingRows; last: PlannedUpdate }>

/**
 * The order of updates. Those that came while the disk was busy are taken in one turn of the event loop: each is checked and computed aside, on
 * top of those before it; one transaction journals all; then they become visible and are answered. Nothing else runs within a turn.
 */
export class UpdateTurns {
  readonly #parts: TurnsParts
  #queue: Waiting[] = []
  #queuedBytes = 0
  #isScheduled = false
  #onIdle: (() => void)[] = []

  constructor(parts: TurnsParts) {
    this.#parts = parts
  }

  /** Takes an update on. Resolves when it is visible, and as durable as its table asks. Refuses OVERLOADED, and what the update is refused for. */
  submit(update: KeeperUpdate): Promise<UpdateResult> {
    const { keys, find } = this.#parts
    const bytes = (countValues(update) + countIndices(update)) * 4
    if (this.#queuedBytes + bytes > LIMITS.updateBytesInFlightMax) {
      refuse('OVERLOADED', 'too many updates are waiting', { headers: { 'Retry-After': '1' } })
    }
    const claim = update.key === undefined ? null : keys.claim(find(update.name).id, update.key)
    this.#queuedBytes += bytes
    if (!this.#isScheduled) this.#schedule()
    return new Promise((resolve, reject) => this.#queue.push({ update, claim, bytes, resolve, reject }))
  }

  /** Resolves when no update waits. */
  settle(): Promise<void> {
    return this.#isScheduled ? new Promise((resolve) => this.#onIdle.push(resolve)) : Promise.resolve()
  }

  #schedule(): void {
    this.#isScheduled = true
    setImmediate(() => this.#takeTurn())
  }

  #takeTurn(): void {
    const endsAt = performance.now() + LIMITS.turnMsMax
    const journaled: Journaled[] = []
    const pending: PendingVersions = new Map()
    let bytes = 0
    let taken = 0
    for (const waiting of this.#queue) {
      if (taken > 0 && (bytes > LIMITS.turnBytesMax || performance.now() > endsAt)) break
      taken++
      bytes += waiting.bytes
      const one = this.#compute(waiting, pending)
      if (one !== null) journaled.push(one)
    }
    this.#queue = this.#queue.slice(taken)
    this.#queuedBytes -= bytes
    this.#commit(
      journaled.filter(({ table }) => table.settings.durability === 'disk'),
      'disk',
    )
    this.#commit(
      journaled.filter(({ table }) => table.settings.durability !== 'disk'),
      'os',
    )
    if (this.#queue.length > 0) this.#schedule()
    else {
      this.#isScheduled = false
      for (const tell of this.#onIdle.splice(0)) tell()
    }
  }

  /** Checks and computes one update. Without a journal to wait for it is visible and answered at once; then, or refused, null. */
  #compute(waiting: Waiting, pending: PendingVersions): Journaled | null {
    const { update, claim } = waiting
    try {
      const { keys, find, store } = this.#parts
      if (update.deadlineAt !== undefined && Date.now() >= update.deadlineAt) {
        refuse('DEADLINE_EXCEEDED', 'X-Request-Timeout-Ms had passed before the update could begin')
      }
      const table = find(update.name)
      const first = claim === null ? null : keys.find(claim)
      if (first !== null) {
        this.#settle(waiting, () => waiting.resolve(first))
        return null
      }
      checkPrecondition(update.precondition, currentState(table))
      refuseAdapted(table)
      if (store.failure !== null) throw store.failure
      if (store.journalBytes() > LIMITS.journalBytesMax) {
        refuse('OVERLOADED', 'the journal is full: snapshots cannot keep up with the updates', { headers: { 'Retry-After': '2' } })
      }
      return this.#plan(waiting, table, pending)
    } catch (error) {
      this.#settle(waiting, () => waiting.reject(error))
      return null
    }
  }

  #plan(waiting: Waiting, table: KeeperTable, pending: PendingVersions): Journaled | null {
    const { update } = waiting
    const { current, settings } = table
    const isJournaled = settings.durability !== 'none' || current.stored.journalHolders > 0
    const before = pending.get(current)
    const rows = before?.rows ?? new PendingRows()
    if (before !== undefined) enterPending(rows, before.last)
    const planned = computeUpdate({ ...this.#parts, nowMs: Date.now() }, table, update, rows)
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

  /** Journals and then finishes updates of one mode; all of them or none. `os` takes `none` too, while a snapshot runs. */
  #commit(journaled: readonly Journaled[], mode: 'disk' | 'os'): void {
    if (journaled.length === 0) return
    const { store, arena, keys, onCommit } = this.#parts
    const records: JournalRecord[] = []
    const remembered: RememberedKey[] = []
    for (const { waiting, table, planned, result } of journaled) {
      if (planned !== null) records.push(toJournalRecord(table, planned, arena))
      if (waiting.claim !== null && survives(table)) remembered.push(keys.describe(waiting.claim, result))
    }
    try {
      if (mode === 'disk') store.commit({ records, keys: remembered })
      else store.commitOs({ records, keys: remembered })
    } catch (error) {
      onCommit(error)
      for (const { waiting, planned } of journaled) {
        if (planned !== null) {
          arena.release(planned.scratch.region)
          planned.version.planned = null
        }
        this.#settle(waiting, () => waiting.reject(error))
      }
      return
    }
    failpoint('update:committed')
    const unsaved = journaled.filter(({ table }) => !survives(table))
    for (const one of journaled) this.#finish(one, unsaved.includes(one))
    onCommit(null)
  }

  /** Makes an update visible, and answers it. `keyIsUnsaved`: a key that it has was not stored with it. */
  #finish({ waiting, table, planned, result }: Journaled, keyIsUnsaved: boolean): void {
    const { arena, listLogs, onFatal, keys } = this.#parts
    if (planned !== null) {
      const { version, sequence } = planned
      try {
        makeVisible(arena, planned, listLogs())
      } catch (error) {
        onFatal(error)
        throw error
      }
      if (version.planned?.sequence === sequence) version.planned = null
      noteJournaled(table, planned)
    }
    if (waiting.claim !== null && keyIsUnsaved) keys.keepUnsaved(table.current, waiting.claim, result)
    failpoint('update:visible')
    this.#settle(waiting, () => waiting.resolve(result))
  }

  #settle({ claim }: Waiting, tell: () => void): void {
    if (claim !== null) this.#parts.keys.letGo(claim)
    tell()
  }
}

/**
 * Whether a start would bring journaled updates back that are not visible yet, and so their keys must be stored with them. Those of mode `none`
 * follow a gap, as a rule, until the snapshot is listed that they are journaled for.
 */
const survives = ({ settings, current: { stored, table } }: KeeperTable): boolean =>
  settings.durability !== 'none' || stored.coveredThrough === table.readSequence()

const noteJournaled = ({ settings }: KeeperTable, { version, sequence, rows, state }: PlannedUpdate): void => {
  const { stored } = version
  if (settings.durability === 'none' && stored.journalHolders === 0) return
  stored.journalBytes += recordBytes(rows.length, version.table.rowBytes, state?.length ?? 0)
  if (stored.coveredThrough === sequence - 1) stored.coveredThrough = sequence
  else assert(settings.durability === 'none', 'what is acknowledged is covered without a gap')
}
