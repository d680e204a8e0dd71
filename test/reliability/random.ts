/** Numbers that a seed decides (mulberry32): a run can be repeated, as far as the machine's timing allows. */
export interface Random {
  /** 0 to below 1. */
  next(): number
  /** An integer, 0 to below `end`. */
  below(end: number): number
  /** One of a list. */
  pick<Item>(items: readonly Item[]): Item
}

/** A source of numbers for `seed`. */
export const createRandom = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (end: number): number => Math.floor(next() * end)
  return { next, below, pick: (items) => items[below(items.length)] }
}
