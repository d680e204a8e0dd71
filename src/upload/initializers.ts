/** The initializers of tables without data: zeros, a constant, and reproducible random numbers. */
import { randomInt } from 'node:crypto'
import { refuse } from '../core/errors.ts'
import { normalQuantile } from './normal-quantile.ts'
import { fillRandomWords } from './random-words.ts'

/**
 * The initializer of a table without data, as in a specification. {@link completeInitializer} gives the
 * optional members their defaults.
 */
export type Initializer =
  | { kind: 'zeros' }
  | { kind: 'constant'; value: number }
  | { kind: 'uniform'; min?: number; max?: number; seed?: number }
  | { kind: 'normal' | 'truncated_normal'; mean?: number; stddev?: number; seed?: number }
  | { kind: 'variance_scaling'; scale?: number; mode?: FanMode; distribution?: Distribution; seed?: number }

export type FanMode = 'fan_in' | 'fan_out' | 'fan_avg'
export type Distribution = 'normal' | 'truncated_normal' | 'uniform'

/** An initializer with all defaults and its seed, which gives the same table everywhere. */
export type CompleteInitializer =
  | { kind: 'zeros' }
  | { kind: 'constant'; value: number }
  | { kind: 'uniform'; min: number; max: number; seed: number }
  | { kind: 'normal' | 'truncated_normal'; mean: number; stddev: number; seed: number }
  | { kind: 'variance_scaling'; scale: number; mode: FanMode; distribution: Distribution; seed: number }

/**
 * Writes rows firstRow..firstRow+rowCount-1 to the start of `target`, rowCount x dim. Rows may be requested
 * in any order.
 */
export type RowFiller = (firstRow: number, rowCount: number, target: Float32Array) => void

/**
 * The standard deviation of a standard normal distribution that is cut at +-2 (the constant of JAX and
 * Keras).
 */
const TRUNCATED_STDDEV = 0.87962566103423978
/** The probability of a value below -2 standard deviations. */
const BELOW_MINUS_2 = 0.022750131948179207
/** Random seeds are below 2^48, the largest range of randomInt. */
const SEEDS_MAX = 2 ** 48 - 1

/**
 * Fills in the defaults: uniform -0.05..0.05; normal and truncated_normal with mean 0 and stddev 1/sqrt(dim);
 * variance_scaling with 1, fan_in and normal (together flax's `Embed`); a random seed. Refuses
 * INVALID_REQUEST for numbers that make no distribution.
 */
export const completeInitializer = (initializer: Initializer, dim: number): CompleteInitializer => {
  switch (initializer.kind) {
    case 'zeros':
      return { kind: 'zeros' }
    case 'constant':
      return { kind: 'constant', value: finite(initializer.value, 'value') }
    case 'uniform': {
      const min = finite(initializer.min ?? -0.05, 'min')
      const max = finite(initializer.max ?? 0.05, 'max')
      if (min > max) refuseMember('min', `min ${min} is above max ${max}`)
      return { kind: 'uniform', min, max, seed: completeSeed(initializer.seed) }
    }
    case 'normal':
    case 'truncated_normal': {
      const mean = finite(initializer.mean ?? 0, 'mean')
      const stddev = finite(initializer.stddev ?? 1 / Math.sqrt(dim), 'stddev')
      if (stddev < 0) refuseMember('stddev', `stddev ${stddev} is below 0`)
      return { kind: initializer.kind, mean, stddev, seed: completeSeed(initializer.seed) }
    }
    case 'variance_scaling': {
      const { mode = 'fan_in', distribution = 'normal' } = initializer
      const scale = finite(initializer.scale ?? 1, 'scale')
      if (scale <= 0) refuseMember('scale', `scale ${scale} is not above 0`)
      return { kind: 'variance_scaling', scale, mode, distribution, seed: completeSeed(initializer.seed) }
    }
  }
}

/**
 * Makes the filler of a rows x dim table. Element row * dim + column has a random word of its own
 * (random-words.ts) and u = (word + 1/2) / 2^32. Its value is min + u (max - min), or mean + stddev times the
 * normal quantile of u, in float64, rounded to float32 once. Only additions, multiplications, divisions and
 * square roots are used, so the same seed gives the same bits on every machine.
 */
export const initializeRows = (initializer: CompleteInitializer, rows: number, dim: number): RowFiller => {
  switch (initializer.kind) {
    case 'zeros':
      return fillConstant(0, dim)
    case 'constant':
      return fillConstant(initializer.value, dim)
    case 'uniform':
      return fillUniform(initializer, dim)
    case 'normal':
      return fillNormal(initializer, dim)
    case 'truncated_normal':
      return fillTruncated(initializer, dim)
    case 'variance_scaling':
      return fillScaled(initializer, rows, dim)
  }
}

const fillConstant =
  (value: number, dim: number): RowFiller =>
  (_firstRow, rowCount, target) => {
    target.fill(value, 0, rowCount * dim)
  }

const fillUniform = (
  { min, max, seed }: { min: number; max: number; seed: number },
  dim: number,
): RowFiller => {
  const width = max - min
  return (firstRow, rowCount, target) => {
    const words = randomWords(seed, firstRow, rowCount, dim)
    for (let i = 0; i < words.length; i++) target[i] = min + fraction(words[i]) * width
  }
}

const fillNormal = (parameters: { mean: number; stddev: number; seed: number }, dim: number): RowFiller =>
  fillQuantiles({ ...parameters, from: 0 }, dim)

/**
 * Fills from a normal distribution that is cut at mean +- 2 stddev; stddev is that before the cut, as in JAX
 * and Keras.
 */
const fillTruncated = (parameters: { mean: number; stddev: number; seed: number }, dim: number): RowFiller =>
  fillQuantiles({ ...parameters, from: BELOW_MINUS_2 }, dim)

/** Spreads the probabilities of the numbers evenly over from..1-from. */
const fillQuantiles = (
  { mean, stddev, seed, from }: { mean: number; stddev: number; seed: number; from: number },
  dim: number,
): RowFiller => {
  const width = 1 - 2 * from
  return (firstRow, rowCount, target) => {
    const words = randomWords(seed, firstRow, rowCount, dim)
    for (let i = 0; i < words.length; i++)
      target[i] = mean + stddev * normalQuantile(from + fraction(words[i]) * width)
  }
}

/**
 * Fills with the variance scale / fan. fan_in is dim and fan_out is rows, as in flax's `Embed`; Keras swaps
 * the two names.
 */
const fillScaled = (
  initializer: CompleteInitializer & { kind: 'variance_scaling' },
  rows: number,
  dim: number,
): RowFiller => {
  const { scale, mode, distribution, seed } = initializer
  const fan = mode === 'fan_in' ? dim : mode === 'fan_out' ? rows : (dim + rows) / 2
  const variance = scale / Math.max(1, fan)
  switch (distribution) {
    case 'normal':
      return fillNormal({ mean: 0, stddev: Math.sqrt(variance), seed }, dim)
    case 'truncated_normal':
      return fillTruncated({ mean: 0, stddev: Math.sqrt(variance) / TRUNCATED_STDDEV, seed }, dim)
    case 'uniform': {
      const limit = Math.sqrt(3 * variance)
      return fillUniform({ min: -limit, max: limit, seed }, dim)
    }
  }
}

const randomWords = (seed: number, firstRow: number, rowCount: number, dim: number): Uint32Array => {
  const words = new Uint32Array(rowCount * dim)
  fillRandomWords(seed, firstRow * dim, words)
  return words
}

/** Returns a number between 0 and 1, both excluded. */
const fraction = (word: number): number => (word + 0.5) / 2 ** 32

const completeSeed = (seed: number | undefined): number => {
  if (seed === undefined) return randomInt(SEEDS_MAX)
  if (!Number.isSafeInteger(seed) || seed < 0)
    refuseMember('seed', `a seed is a whole number from 0 to 2^53 - 1, not ${seed}`)
  return seed
}

const finite = (value: number, member: string): number =>
  Number.isFinite(value) ? value : refuseMember(member, `${member} is not a finite number`)

const refuseMember = (member: string, detail: string): never =>
  refuse('INVALID_REQUEST', `the initializer: ${detail}`, {
    errors: [{ pointer: `/initializer/${member}`, detail }],
  })
