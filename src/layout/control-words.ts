/**
 * Reads and writes the control words at the start of a version's first segment: lock, sequence, optimizer
 * step and time of change. `table-layout.ts` defines their offsets. Other threads read the lock and the
 * sequence while the writer's thread changes them, so both are accessed with Atomics.
 */
import { LOCK_AT, ROWS_AT, SEQUENCE_AT, STEP_AT, UPDATED_AT } from './table-layout.ts'

const lockWord = LOCK_AT / 4
const sequenceWord = SEQUENCE_AT / 4

/** Typed views of the control words. */
export interface ControlWords {
  readonly words: Int32Array
  readonly times: Float64Array
}

/** The control words that one update changes. */
export interface ControlChanges {
  sequence: number
  step: number
  nowMs: number
}

/** Returns views of the control words in the memory of a first segment. */
export const viewControlWords = (buffer: SharedArrayBuffer): ControlWords => ({
  words: new Int32Array(buffer, 0, ROWS_AT / 4),
  times: new Float64Array(buffer, 0, ROWS_AT / 8),
})

/** Returns the lock word, which is odd while the writer writes rows. */
export const readLockWord = ({ words }: ControlWords): number => Atomics.load(words, lockWord)

/** Blocks the thread until the lock word differs from `lock`, for at most `timeoutMs`. */
export const waitForLockWord = ({ words }: ControlWords, lock: number, timeoutMs: number): void => {
  Atomics.wait(words, lockWord, lock, timeoutMs)
}

/**
 * Returns the count of committed updates. It spans two words, so both are read again if the high one changed
 * in between.
 */
export const readSequenceWords = ({ words }: ControlWords): number => {
  for (;;) {
    const high = Atomics.load(words, sequenceWord + 1)
    const low = Atomics.load(words, sequenceWord)
    if (Atomics.load(words, sequenceWord + 1) === high) return (high >>> 0) * 2 ** 32 + (low >>> 0)
  }
}

/** Returns the time of the last update in milliseconds since 1970, or 0 if there was none. */
export const readUpdatedAtMs = ({ times }: ControlWords): number => times[UPDATED_AT / 8]

/** Returns the count of gradient steps taken. */
export const readStepCount = ({ times }: ControlWords): number => times[STEP_AT / 8]

/** Sets the count of gradient steps. */
export const writeStepCount = ({ times }: ControlWords, step: number): void => {
  times[STEP_AT / 8] = step
}

/**
 * Makes the lock word odd, so that readers repeat their reads from now on. Returns false if it was odd
 * already.
 */
export const openWriteWindow = ({ words }: ControlWords): boolean =>
  (Atomics.add(words, lockWord, 1) & 1) === 0

/** Stores the changes, makes the lock word even again and wakes the readers that wait for it. */
export const closeWriteWindow = (control: ControlWords, changes: ControlChanges): void => {
  const { words, times } = control
  writeStepCount(control, changes.step)
  times[UPDATED_AT / 8] = changes.nowMs
  Atomics.store(words, sequenceWord + 1, Math.floor(changes.sequence / 2 ** 32))
  Atomics.store(words, sequenceWord, changes.sequence | 0)
  Atomics.add(words, lockWord, 1)
  Atomics.notify(words, lockWord)
}
