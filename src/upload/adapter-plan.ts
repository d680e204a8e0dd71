/**
 * Plans the upload of an adapter: the places of its arrays in the body, and the types in which they are
 * stored.
 */
import { refuse } from '../core/errors.ts'
import { ELEMENT_BYTES, type ElementType, fitsFloat32 } from '../core/types.ts'
import { LIMITS } from '../core/limits.ts'
import { asFloat32, asIndexArray } from '../formats/index-array.ts'
import { quoteText } from '../formats/scanner.ts'
import type { ArrayPlace, ByteRange, LocatedArrays } from '../formats/shape.ts'
import type { AdapterHandle, VersionHandle } from '../tables/handles.ts'

/** One array of an adapter's body. Ranges are bytes of the whole body. */
export interface AdapterArray extends ByteRange {
  elementType: ElementType
}

/** The plan of an adapter's body: the places of its arrays, and the types in which they are stored. */
export interface AdapterPlan {
  rank: number
  /** The storage type of A. */
  dtype: AdapterHandle['dtype']
  a: AdapterArray
  b: AdapterArray
  /** The number, or its place in the body. */
  alpha: number | AdapterArray
  bodyBytes: number
}

/**
 * Plans the arrays `a` [rows, r] and `b` [r, dim] of an adapter for a table of this shape; alpha is `alpha`,
 * or an array of one number. Refuses INVALID_REQUEST for other arrays and for a missing or doubled alpha,
 * SHAPE_MISMATCH, DTYPE_MISMATCH, and NON_FINITE for an alpha that is not finite.
 */
export const planAdapter = (
  { arrays, unread, bodyBytes }: LocatedArrays,
  { rows, dim }: Pick<VersionHandle, 'rows' | 'dim'>,
  alpha: number | undefined,
): AdapterPlan => {
  for (const name of [...arrays.keys(), ...unread.keys()]) {
    if (!['a', 'b', 'alpha'].includes(name))
      refuseAt(
        'INVALID_REQUEST',
        name,
        `array ${quoteText(name)} is not expected; an adapter has a, b and alpha`,
      )
  }
  for (const array of unread.values()) array.refuse()
  const a = arrays.get('a') ?? refuseAt('INVALID_REQUEST', 'a', 'the body has no array a')
  const b = arrays.get('b') ?? refuseAt('INVALID_REQUEST', 'b', 'the body has no array b')
  const rank = checkShapes(a, b, rows, dim)
  const place = ({ elementType, begin, end }: ArrayPlace): AdapterArray => ({ elementType, begin, end })
  checkFloats('b', b)
  const planned = { rank, dtype: storageDtype(a), a: place(a), b: place(b) }
  const scalar = arrays.get('alpha')
  if (scalar === undefined)
    return {
      ...planned,
      alpha: checkAlpha(alpha ?? refuseAt('INVALID_REQUEST', 'alpha', ALPHA_MISSING), rank),
      bodyBytes,
    }
  if (alpha !== undefined) refuseAt('INVALID_REQUEST', 'alpha', 'alpha is in the query and in the body')
  const count = (scalar.end - scalar.begin) / ELEMENT_BYTES[scalar.elementType]
  if (count !== 1) refuseAt('SHAPE_MISMATCH', 'alpha', `alpha is one number; the array has ${count}`)
  return { ...planned, alpha: place(scalar), bodyBytes }
}

/** Reads the number of an array of one. Refuses DTYPE_MISMATCH for a bool. */
export const readScalar = (elementType: ElementType, bytes: Uint8Array): number => {
  if (elementType === 'float64') return new DataView(bytes.buffer, bytes.byteOffset).getFloat64(0, true)
  return /float/.test(elementType)
    ? asFloat32(bytes, elementType)[0]
    : Number(asIndexArray(bytes, elementType)[0])
}

/** Refuses NON_FINITE unless alpha / rank is a finite float32. */
export const checkAlpha = (alpha: number, rank: number): number =>
  fitsFloat32(alpha / rank)
    ? alpha
    : refuseAt('NON_FINITE', 'alpha', `alpha is ${alpha}, which by rank ${rank} is no finite float32`)

const ALPHA_MISSING =
  'alpha is missing: give ?alpha=, or an array alpha of one number; rows get alpha / r times A . B'

const refuseAt = (
  code: 'INVALID_REQUEST' | 'SHAPE_MISMATCH' | 'DTYPE_MISMATCH' | 'NON_FINITE',
  name: string,
  detail: string,
): never => refuse(code, detail, { errors: [{ pointer: `/${name}`, detail }] })

/** Checks the shapes of both factors and returns the rank. */
const checkShapes = (a: ArrayPlace, b: ArrayPlace, rows: number, dim: number): number => {
  const [aRows, rank] = a.shape
  if (a.shape.length !== 2 || aRows !== rows) {
    refuseAt(
      'SHAPE_MISMATCH',
      'a',
      `a must have shape [${rows},r], it has [${a.shape.join()}]; ` +
        'the lora_embedding_A of PEFT is its transpose',
    )
  }
  if (rank < 1 || rank > LIMITS.adapterRankMax)
    refuseAt('SHAPE_MISMATCH', 'a', `the rank of an adapter is 1 to ${LIMITS.adapterRankMax}, not ${rank}`)
  if (b.shape.join() !== `${rank},${dim}`) {
    refuseAt(
      'SHAPE_MISMATCH',
      'b',
      `b must have shape [${rank},${dim}], it has [${b.shape.join()}]; ` +
        'the lora_embedding_B of PEFT is its transpose',
    )
  }
  return rank
}

const checkFloats = (name: string, { elementType }: ArrayPlace): void => {
  if (!/float/.test(elementType))
    refuseAt('DTYPE_MISMATCH', name, `${name} must be floating-point numbers, not ${elementType}`)
}

const storageDtype = (a: ArrayPlace): AdapterHandle['dtype'] => {
  checkFloats('a', a)
  return a.elementType === 'float16' || a.elementType === 'bfloat16' ? a.elementType : 'float32'
}
