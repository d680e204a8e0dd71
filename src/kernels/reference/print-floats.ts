/**
 * The reference of the printer of float32, in plain TypeScript. It is slow but simple enough to check by
 * reading; `wasm/print-floats.as.ts` must produce the same bytes.
 */

const bits = new DataView(new ArrayBuffer(4))

/** Returns a float32 above zero as an exact fraction. */
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

/** Returns true if digits * 10^exponent + 10^exponent / 2 equals `value` exactly. */
const isMiddle = (value: number, digits: number, exponent: number): boolean => {
  const { numerator, denominator } = toFraction(value)
  const doubled = BigInt(2 * digits + 1)
  return exponent >= 0
    ? doubled * 10n ** BigInt(exponent) * denominator === 2n * numerator
    : doubled * denominator === 2n * numerator * 10n ** BigInt(-exponent)
}

/**
 * Returns the shortest decimal that reads back to the same float32, as the double that JavaScript prints with
 * those digits. Of several, it is the closest; of two equally close ones, the even one (as in JavaScript for
 * doubles and in NumPy for float32).
 */
export const shortestDecimal = (value: number): number => {
  if (value <= 0) return value === 0 ? value : -shortestDecimal(-value)
  const readsBack = (text: string): boolean => Math.fround(Number(text)) === value
  // A normal float32 represents any 6 digits, so a shorter decimal that reads back appears as trailing zeros
  // of those.
  for (let count = value < 2 ** -126 ? 1 : 6; count <= 9; count += 1) {
    const [coefficient, tenth] = value.toExponential(count - 1).split('e')
    const digits = Number(coefficient.replace('.', ''))
    const exponent = Number(tenth) - count + 1
    const nearest = `${digits}e${exponent}`
    if (readsBack(nearest)) {
      // toExponential chooses the larger of two equally close decimals.
      const lower = `${digits - 1}e${exponent}`
      return Number(
        digits % 2 === 1 && isMiddle(value, digits - 1, exponent) && readsBack(lower) ? lower : nearest,
      )
    }
    // At a power of two the rounding interval extends further up than down, so the nearest decimal may be
    // outside it while the next one is inside.
    const above = `${digits + 1}e${exponent}`
    if (readsBack(above)) return Number(above)
  }
  return value
}

const printValue = (value: number): string =>
  Number.isFinite(value) ? (Object.is(value, -0) ? '-0' : String(shortestDecimal(value))) : 'null'

/** Returns the text that `printTensor` writes for these values (row-major) and shape. */
export const printTensorReference = (shape: readonly number[], values: Float32Array): string => {
  if (shape.length === 0) return printValue(values[0])
  const inner = shape.slice(1)
  const innerCount = inner.reduce((product, length) => product * length, 1)
  const parts = Array.from({ length: shape[0] }, (_, index) =>
    printTensorReference(inner, values.subarray(index * innerCount, (index + 1) * innerCount)),
  )
  return `[${parts.join(',')}]`
}
