/**
 * The sequences that a version gives out. None is given out twice, not even after a crash took updates back,
 * because ETags and idempotency keys name updates by them.
 *
 * Sequences are reserved in the catalog in large steps, before the first of a step is given out. After a
 * start that may have lost updates, every sequence between the last update and the end of the reserve may
 * have been given out, so the next update goes on above; the catalog lists the sequences between as skipped,
 * and the journal has no gap there. Both are written with the first update that needs them: a start writes
 * nothing.
 */
import { LIMITS } from '../../core/limits.ts'
import type { CatalogSkip, CatalogVersion } from '../../storage/catalog-rows.ts'
import { lastSequence, type SequenceReserve, type VersionModel } from './table-model.ts'

/** The sequences of a new version. Its row of the catalog reserves the first ones. */
export const openReserve = (): SequenceReserve => ({
  reserved: LIMITS.sequencesReservedMax,
  floor: 0,
  skips: [],
})

/**
 * The sequences of a loaded version, whose last update is `last`. `reached` is the end of the journal,
 * skipped sequences included; `mayHaveLost` says whether later updates may have been answered.
 */
export const resumeReserve = (
  { tableId, version, reserved }: CatalogVersion,
  skips: readonly CatalogSkip[],
  {
    last,
    reached,
    mayHaveLost,
    nowMs,
  }: { last: number; reached: number; mayHaveLost: boolean; nowMs: number },
): SequenceReserve => {
  const floor = Math.max(last, reached, mayHaveLost ? reserved : 0)
  const known = skips.filter((skip) => skip.last <= last)
  if (floor > last) known.push({ tableId, version, first: last + 1, last: floor, createdAtMs: nowMs })
  return { reserved: Math.max(reserved, floor), floor, skips: known }
}

/** The sequence of the next update. */
export const nextSequence = (model: VersionModel): number =>
  Math.max(lastSequence(model), model.sequences.floor) + 1

/**
 * Finds the skips that nothing needs any more: no snapshot that is kept begins before them, and every key of
 * an update that they took back has been forgotten.
 */
export const findOldSkips = (
  { sequences: { skips } }: VersionModel,
  throughSequence: number,
  nowMs: number,
): CatalogSkip[] =>
  skips.filter(
    ({ last, createdAtMs }) => last <= throughSequence && nowMs - createdAtMs > LIMITS.idempotencyKeyAgeMsMax,
  )

/** Whether an update of this sequence was taken back: by a crash, or by going back before damage. */
export const isTakenBack = ({ sequences: { skips } }: VersionModel, sequence: number): boolean =>
  skips.some(({ first, last }) => first <= sequence && sequence <= last)
