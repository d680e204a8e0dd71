/**
 * The printer of float32 in plain TypeScript: slow, and written to be believed. `kernels/json.as.ts` must
 * agree with it byte by byte.
 */

const bits = new DataView(new ArrayBuffer(4))

/** A float32 above zero as `numerator` / `denominator`, exactly. */
const toFraction = (value: number): { numerator: bigint; denominator: bigint } => {
  bits.setFloat32(0, value)
  const biased = bits.getUint32(0) >>> 23
  const fraction = bits.getUint32(0) & 0x7fffff
  const exponent = Math.max(biased, 1) - 150
  const significand = BigInt(biased === 0 ? fraction : fraction | 0x800000)
  return exponent >= 0
    ? { numerator: significand << BigInt(exponent), denominator: 1n }
    : { numerator: significand, denominator: 1n << BigInt(-exponent) }
}

/** Whether digits * 10^exponent + 10^exponent / 2 is `value`, exactly. */
const isMiddle = (value: number, digits: number, exponent: number): boolean => {
  const { numerator, denominator } = toFraction(value)
  const doubled = BigInt(2 * digits + 1)
  return exponent >= 0
    ? doubled * 10n ** BigInt(exponent) * denominator === 2n * numerator
    : doubled * denominator === 2n * numerator * 10n ** BigInt(-exponent)
}

/**
 * The shortest decimal that reads back to the same float32; of several the closest, of two equally close ones
 * the even one (as JavaScript chooses for doubles, and NumPy for float32). Returns the double that JavaScript
 * prints with those digits.
 */
export const shortestDecimal = (value: number): number => {
  if (value <= 0) return value === 0 ? value : -shortestDecimal(-value)
  const readsBack = (text: string): boolean => Math.fround(Number(text)) === value
  // A normal float32 holds any 6 digits: a shorter decimal that reads back shows as trailing zeros of those.
  for (let count = value < 2 ** -126 ? 1 : 6; count <= 9; count += 1) {
    const [coefficient, tenth] = value.toExponential(count - 1).split('e')
    const digits = Number(coefficient.replace('.', ''))
    const exponent = Number(tenth) - count + 1
    const nearest = `${digits}e${exponent}`
    if (readsBack(nearest)) {
      // toExponential takes the larger of two that are equally close.
      const lower = `${digits - 1}e${exponent}`
      return Number(
        digits % 2 === 1 && isMiddle(value, digits - 1, exponent) && readsBack(lower) ? lower : nearest,
      )
    }
    // At a power of two the interval reaches further up than down: the nearest may miss it while the next one
    // does not.
    const above = `${digits + 1}e${exponent}`
    if (readsBack(above)) return Number(above)
  }
  return value
}

const printValue = (value: number): string =>
  Number.isFinite(value) ? (Object.is(value, -0) ? '-0' : String(shortestDecimal(value))) : 'null'

/** The text that `printTensor` writes for these values (row-major) and shape. */
export const printTensorReference = (shape: readonly number[], values: Float32Array): string => {
  if (shape.length === 0) return printValue(values[0])
  const inner = shape.slice(1)
  const innerCount = inner.reduce((product, length) => product * length, 1)
  const parts = Array.from({ length: shape[0] }, (_, index) =>
    printTensorReference(inner, values.subarray(index * innerCount, (index + 1) * innerCount)),
  )
  return `[${parts.join(',')}]`
}
