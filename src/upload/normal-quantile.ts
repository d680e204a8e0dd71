/*
 * The inverse of the normal distribution function, by operations that IEEE 754 defines to the bit (+ - * /
 * and the square root): what it returns does not depend on the machine, nor on the Math library of the
 * runtime.
 */
const LN2_HIGH = 6.9314718036912381649e-1
const LN2_LOW = 1.90821492927058770002e-10

const double = new Float64Array(1)
/** Little-endian, as everything here: the exponent is in the second word. */
const words = new Uint32Array(double.buffer)

/**
 * The natural logarithm of a normal positive number, to about one unit in the last place (fdlibm's
 * polynomial).
 */
export const logarithm = (x: number): number => {
  double[0] = x
  let exponent = (words[1] >>> 20) - 1023
  words[1] = (words[1] & 0xfffff) | 0x3ff00000
  let mantissa = double[0]
  if (mantissa > Math.SQRT2) {
    mantissa /= 2
    exponent += 1
  }
  const f = mantissa - 1
  const s = f / (2 + f)
  const z = s * s
  const w = z * z
  const even = w * (3.999999999940941908e-1 + w * (2.222219843214978396e-1 + w * 1.531383769920937332e-1))
  const odd =
    z *
    (6.66666666666673513e-1 +
      w * (2.857142874366239149e-1 + w * (1.818357216161805012e-1 + w * 1.479819860511658591e-1)))
  const half = 0.5 * f * f
  return exponent * LN2_HIGH - (half - (s * (half + (even + odd)) + exponent * LN2_LOW) - f)
}

/**
 * The z below which a standard normal number lies with probability p, to 16 digits: Wichura's algorithm AS
 * 241 (PPND16). For p from 2^-33 to 1 - 2^-33, the probabilities that 32 random bits make: the algorithm's
 * branch for farther tails is left out.
 */
export const normalQuantile = (p: number): number => {
  const q = p - 0.5
  if (q >= -0.425 && q <= 0.425) return centralQuantile(q)
  const tail = q < 0 ? p : 1 - p
  const z = tailQuantile(Math.sqrt(-logarithm(tail)) - 1.6)
  return q < 0 ? -z : z
}

const centralQuantile = (q: number): number => {
  const r = 0.180625 - q * q
  const numerator =
    ((((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r +
      4.5921953931549871457e4) *
      r +
      1.3731693765509461125e4) *
      r +
      1.9715909503065514427e3) *
      r +
      1.3314166789178437745e2) *
      r +
    3.387132872796366608
  const denominator =
    ((((((5.226495278852854561e3 * r + 2.8729085735721942674e4) * r + 3.930789580009271061e4) * r +
      2.1213794301586595867e4) *
      r +
      5.3941960214247511077e3) *
      r +
      6.871870074920579083e2) *
      r +
      4.2313330701600911252e1) *
      r +
    1
  return (numerator * q) / denominator
}

const tailQuantile = (r: number): number => {
  const numerator =
    ((((((7.7454501427834140764e-4 * r + 2.27238449892691845833e-2) * r + 2.4178072517745061177e-1) * r +
      1.27045825245236838258) *
      r +
      3.64784832476320460504) *
      r +
      5.7694972214606914055) *
      r +
      4.6303378461565452959) *
      r +
    1.42343711074968357734
  const denominator =
    ((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 1.51986665636164571966e-2) * r +
      1.4810397642748007459e-1) *
      r +
      6.8976733498510000455e-1) *
      r +
      1.6763848301838038494) *
      r +
      2.05319162663775882187) *
      r +
    1
  return numerator / denominator
}
