/** Logarithmic axes: values to pixels, and the numbers written along them. */

export interface LogScale {
  at(value: number): number
  /** Powers of ten inside the domain, and also 2 and 5 times them where the domain is short. */
  ticks: number[]
}

const SHORT_DECADES = 2.2

/** Maps `low`..`high`, widened to round numbers, onto pixels `from`..`to` (either direction). */
export function makeLogScale(values: number[], from: number, to: number): LogScale {
  const positive = values.filter((value) => value > 0 && Number.isFinite(value))
  const low = roundDown(positive.length === 0 ? 1 : Math.min(...positive))
  const high = Math.max(roundUp(positive.length === 0 ? 10 : Math.max(...positive)), low * 10)
  const span = Math.log10(high) - Math.log10(low)
  const at = (value: number): number =>
    from + ((Math.log10(Math.max(value, low)) - Math.log10(low)) / span) * (to - from)
  return { at, ticks: listTicks(low, high, span <= SHORT_DECADES ? [1, 2, 5] : [1]) }
}

function listTicks(low: number, high: number, factors: number[]): number[] {
  const ticks: number[] = []
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.ceil(Math.log10(high)); exponent++) {
    for (const factor of factors) ticks.push(factor * 10 ** exponent)
  }
  return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001)
}

/** The nearest 1, 2 or 5 times a power of ten that is not above `value`. */
function roundDown(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return power * (value / power >= 5 ? 5 : value / power >= 2 ? 2 : 1)
}

/** The nearest 1, 2 or 5 times a power of ten that is not below `value`. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  const factor = value / power
  return power * (factor <= 1 ? 1 : factor <= 2 ? 2 : factor <= 5 ? 5 : 10)
}

/** Moves ascending positions apart until neighbours are `gap` pixels from each other, as little as needed. */
export function spreadApart(positions: number[], gap: number): number[] {
  const order = positions.map((_, index) => index).sort((left, right) => positions[left] - positions[right])
  const spread = [...positions]
  for (let pass = 0; pass < 20; pass++) {
    for (let rank = 1; rank < order.length; rank++) {
      const overlap = gap - (spread[order[rank]] - spread[order[rank - 1]])
      if (overlap <= 0) continue
      spread[order[rank]] += overlap / 2
      spread[order[rank - 1]] -= overlap / 2
    }
  }
  return spread
}
