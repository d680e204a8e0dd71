import { assert } from '../../core/assert.ts'

/** Sequences `first` to `last`, both included. */
export interface SequenceRange {
  first: number
  last: number
}

/** Two ascending lists as one; `source` says which of them a sequence came from. One that is in both comes twice. */
export function* mergeSequences(
  ours: readonly number[],
  theirs: readonly number[],
): Generator<{ sequence: number; source: 0 | 1 }> {
  let i = 0
  let j = 0
  while (i < ours.length || j < theirs.length) {
    if (j >= theirs.length || (i < ours.length && ours[i] <= theirs[j])) yield { sequence: ours[i++], source: 0 }
    else yield { sequence: theirs[j++], source: 1 }
  }
}

/** Runs without a gap of an ascending list; a sequence that comes twice counts once. */
export const toRanges = (sequences: Iterable<number>): SequenceRange[] => {
  const ranges: SequenceRange[] = []
  for (const sequence of sequences) {
    const run = ranges.at(-1)
    if (run !== undefined && sequence <= run.last + 1) {
      assert(sequence >= run.last, 'sequences ascend')
      run.last = sequence
    } else ranges.push({ first: sequence, last: sequence })
  }
  return ranges
}
