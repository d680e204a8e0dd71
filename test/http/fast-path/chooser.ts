/** A source of choices that a seed repeats. */
export interface Chooser {
  /** 0..count-1 */
  below(count: number): number
  /** One of them. */
  pick<Value>(values: readonly Value[]): Value
  /** True once in `times`. */
  once(times: number): boolean
}

/** mulberry32: small, fast, and the same everywhere. */
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
