/** Random choices that a seed reproduces, for generated requests. */

/** A source of random choices. */
export interface Chooser {
  /** Returns an integer from 0 to count - 1. */
  below(count: number): number
  /** Returns one of the values. */
  pick<Value>(values: readonly Value[]): Value
  /** Returns true with a probability of 1 / times. */
  once(times: number): boolean
}

/** Creates a source by mulberry32, which gives the same numbers on every machine. */
export const createChooser = (seed: number): Chooser => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (count: number): number => Math.floor(next() * count)
  return { below, pick: (values) => values[below(values.length)], once: (times) => below(times) === 0 }
}
