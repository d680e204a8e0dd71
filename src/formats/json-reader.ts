/**
 * Reads JSON bodies. Ordinary members are read as JSON.parse reads them, tensors go straight from the bytes
 * into arrays.
 */
import { GatherdError, refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { escapePointer } from '../core/pointers.ts'
import { findNearName } from '../core/suggest-name.ts'
import { openCursor, skipSpace } from './json-cursor.ts'
import type { JsonCursor } from './json-cursor.ts'
import { type KeepSingles, readTensor } from './json-nest.ts'
import { checkEnd, kindAt, readElements, readMembers, readPlain, skipValue } from './json-scan.ts'
import type { CountLimit, JsonTensor } from './json-tensor.ts'
import { quoteText } from './scanner.ts'

export { toFloat32, toIndexArray } from './json-tensor.ts'
export type { JsonTensor } from './json-tensor.ts'

export interface JsonObject {
  /**
   * The ordinary members, as JSON.parse reads them. The object has no prototype, so that `__proto__` is an
   * ordinary name.
   */
  members: Record<string, unknown>
  tensors: Map<string, JsonTensor>
}

export interface JsonLimits {
  /** The depth to which objects and lists may nest; default `jsonDepthMax`. */
  depthMax?: number
  /** The most numbers that each tensor may have, or one limit for all; by default the body is the limit. */
  valueCountMax?: number | Readonly<Record<string, CountLimit>>
  /**
   * The names of tensors that are rounded to float32 while they are read, for `toFloat32`. None by default.
   */
  singles?: readonly string[]
  /** Provides memory for the numbers of `singles`. By default new memory is allocated. */
  keepSingles?: KeepSingles
}

/** A body of several objects: `{"lookups": [{...}, {...}], ...}`. */
export interface JsonObjects {
  /** The other members. */
  members: Record<string, unknown>
  objects: JsonObject[]
}

export interface JsonObjectsLimits extends JsonLimits {
  /** The most objects that the list may have; by default the body is the limit. */
  objectCountMax?: number
}

const refusePlace = (pointer: string, detail: string): never =>
  refuse('INVALID_REQUEST', pointer === '' ? detail : `${detail} at ${pointer}`, {
    errors: [{ pointer, detail }],
  })

const checkObject = (cursor: JsonCursor, pointer: string): void => {
  const kind = kindAt(cursor, cursor.at)
  if (kind !== 'an object')
    refusePlace(
      pointer,
      `expected ${pointer === '' ? 'a JSON object' : 'an object'}, got ${kind}` +
        (pointer === '' && kind === 'a string' ? ': send the object itself, not its text as a string' : ''),
    )
}

const readObject = (
  cursor: JsonCursor,
  pointer: string,
  depth: number,
  tensorNames: readonly string[],
  { valueCountMax = Infinity, singles = [], keepSingles }: JsonLimits,
): JsonObject => {
  checkObject(cursor, pointer)
  const members = Object.create(null) as Record<string, unknown>
  const tensors = new Map<string, JsonTensor>()
  readMembers(cursor, depth, (name) => {
    if (tensorNames.includes(name)) {
      const precision = singles.includes(name) ? 'single' : 'double'
      const limit = typeof valueCountMax === 'number' ? { countMax: valueCountMax } : valueCountMax[name]
      tensors.set(
        name,
        readTensor(cursor, `${pointer}/${escapePointer(name)}`, depth, limit, precision, keepSingles),
      )
    } else members[name] = readPlain(cursor, depth + 1)
  })
  return { members, tensors }
}

/**
 * Runs `read` on the body. If `read` refuses the body for another reason, the rest of it is still checked, so
 * that a body that is not JSON is always refused as such.
 */
const readBody = <Result>(
  body: Uint8Array,
  limits: JsonLimits,
  read: (cursor: JsonCursor) => Result,
): Result => {
  const cursor = openCursor(body, limits.depthMax ?? LIMITS.jsonDepthMax)
  const start = skipSpace(cursor.bytes, 0)
  cursor.at = start
  try {
    const result = read(cursor)
    checkEnd(cursor)
    return result
  } catch (error) {
    if (error instanceof GatherdError && error.code !== 'MALFORMED_BODY') {
      cursor.at = start
      skipValue(cursor, 1)
      checkEnd(cursor)
    }
    throw error
  }
}

/**
 * Reads a JSON object (UTF-8, strictly RFC 8259). Each member named in `tensorNames` is a nested number array
 * and is read into one flat array, with exactly the values of JSON.parse or those rounded to float32. An
 * absent name is absent from `tensors`.
 *
 * Refuses MALFORMED_BODY, with the byte, for a body that is not JSON, has a name twice or is nested too deep.
 * Refuses INVALID_REQUEST, with a pointer, for a body that is no object and for an element of a tensor that
 * is no number. Refuses SHAPE_MISMATCH, with a pointer, for numbers beside lists and for lists of different
 * length, except the rows of rank 2. Refuses BATCH_TOO_LARGE for more numbers than `valueCountMax`.
 */
export const readJsonObject = (
  body: Uint8Array,
  tensorNames: readonly string[],
  limits: JsonLimits = {},
): JsonObject => readBody(body, limits, (cursor) => readObject(cursor, '', 1, tensorNames, limits))

/**
 * Reads a JSON object whose member `arrayName` is a list of objects with tensors, each as {@link
 * readJsonObject} reads one; pointers begin with its place, `/lookups/1/indices/3`. Also refuses
 * INVALID_REQUEST when that member is missing or anything else, and BATCH_TOO_LARGE above `objectCountMax`.
 */
export const readJsonObjects = (
  body: Uint8Array,
  arrayName: string,
  tensorNames: readonly string[],
  limits: JsonObjectsLimits = {},
): JsonObjects =>
  readBody(body, limits, (cursor) => {
    const { objectCountMax = Infinity } = limits
    const pointer = `/${escapePointer(arrayName)}`
    const members = Object.create(null) as Record<string, unknown>
    let objects: JsonObject[] | undefined
    checkObject(cursor, '')
    readMembers(cursor, 1, (name) => {
      if (name !== arrayName) {
        members[name] = readPlain(cursor, 2)
        return
      }
      const kind = kindAt(cursor, cursor.at)
      if (kind !== 'a list') refusePlace(pointer, `expected a list of objects, got ${kind}`)
      const list: JsonObject[] = []
      readElements(cursor, 2, (index) => {
        if (index >= objectCountMax)
          refuse('BATCH_TOO_LARGE', `${pointer} has more than ${objectCountMax} elements`)
        list.push(readObject(cursor, `${pointer}/${index}`, 3, tensorNames, limits))
      })
      objects = list
    })
    const near = Object.keys(members).find((name) => findNearName(name, [arrayName]) !== undefined)
    const hint = near === undefined ? '' : ` (the body has ${quoteText(near)} instead)`
    return {
      members,
      objects: objects ?? refusePlace(pointer, `expected a list of objects, got nothing${hint}`),
    }
  })
