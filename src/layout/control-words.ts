/**
 * The control words at the start of a version's first segment: its lock, sequence, optimizer step and time of
 * change. `table-layout.ts` says where each lies. The writer's thread changes them while other threads read,
 * so the lock and the sequence are read by Atomics.
 */
import { LOCK_AT, ROWS_AT, SEQUENCE_AT, STEP_AT, UPDATED_AT } from './table-layout.ts'

const lockWord = LOCK_AT / 4
const sequenceWord = SEQUENCE_AT / 4

/** Views of the control words. */
export interface ControlWords {
  readonly words: Int32Array
  readonly times: Float64Array
}

/** The changes of one update besides the rows. */
export interface ControlChanges {
  sequence: number
  step: number
  nowMs: number
}

/** The control words in the memory of a first segment. */
export const viewControlWords = (buffer: SharedArrayBuffer): ControlWords => ({
  words: new Int32Array(buffer, 0, ROWS_AT / 4),
  times: new Float64Array(buffer, 0, ROWS_AT / 8),
})

/** The lock word: odd while the writer writes rows. */
export const readLockWord = ({ words }: ControlWords): number => Atomics.load(words, lockWord)

/** Sleeps until the lock word changes from `lock`, at most `timeoutMs`. */
export const waitForLockWord = ({ words }: ControlWords, lock: number, timeoutMs: number): void => {
  Atomics.wait(words, lockWord, lock, timeoutMs)
}

/**
 * Committed updates so far. They take two words: both are read again when the high one has changed meanwhile.
 */
export const readSequenceWords = ({ words }: ControlWords): number => {
  for (;;) {
    const high = Atomics.load(words, sequenceWord + 1)
    const low = Atomics.load(words, sequenceWord)
    if (Atomics.load(words, sequenceWord + 1) === high) return (high >>> 0) * 2 ** 32 + (low >>> 0)
  }
}

/** Milliseconds since 1970 of the last update, 0 when there was none. */
export const readUpdatedAtMs = ({ times }: ControlWords): number => times[UPDATED_AT / 8]

/** Gradient steps taken. */
export const readStepCount = ({ times }: ControlWords): number => times[STEP_AT / 8]

/** Sets the count of gradient steps. */
export const writeStepCount = ({ times }: ControlWords, step: number): void => {
  times[STEP_AT / 8] = step
}

/** Makes the lock odd: readers repeat what they read from now on. Returns false when it was odd already. */
export const openWriteWindow = ({ words }: ControlWords): boolean =>
  (Atomics.add(words, lockWord, 1) & 1) === 0

/** Writes the changes, makes the lock even again and wakes the readers that wait for it. */
export const closeWriteWindow = (control: ControlWords, changes: ControlChanges): void => {
  const { words, times } = control
  writeStepCount(control, changes.step)
  times[UPDATED_AT / 8] = changes.nowMs
  Atomics.store(words, sequenceWord + 1, Math.floor(changes.sequence / 2 ** 32))
  Atomics.store(words, sequenceWord, changes.sequence | 0)
  Atomics.add(words, lockWord, 1)
  Atomics.notify(words, lockWord)
}
