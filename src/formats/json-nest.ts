/** Reads nested lists of numbers in one pass, into one flat array with a shape. */
import { refuse } from '../core/errors.ts'
import { type JsonCursor, refuseByte, skipSpace } from './json-cursor.ts'
import { checkDepth, kindAt, readNumber, startsNumber } from './json-scan.ts'
import { type CountLimit, type JsonTensor, refuseCount } from './json-tensor.ts'
import type { Precision } from '../kernels/parse-numbers.ts'

const COMMA = 0x2c
const OPEN = 0x5b
const CLOSE = 0x5d

type Values = Float64Array | Float32Array

/** Copies numbers out of the scanner's memory, which the next ones overwrite. */
export type KeepSingles = (values: Float32Array) => Float32Array

const copySingles: KeepSingles = (values) => values.slice()

/** A tensor while it is read. `depth` counts the lists that are open; the outermost is at depth 1. */
interface Nest {
  readonly cursor: JsonCursor
  readonly pointer: string
  readonly limit: CountLimit
  readonly precision: Precision
  readonly keepSingles: KeepSingles
  /** Whether some number was too large for float32. */
  isTooLarge: boolean
  /**
   * Count of the numbers read so far. The last `filled` of them are still in the scanner's values, the others
   * in `chunks`.
   */
  count: number
  filled: number
  readonly chunks: Values[]
  depth: number
  /** The depth of the deepest list so far. */
  depthMost: number
  /** The depth of the numbers; -1 before the first. */
  leafDepth: number
  /**
   * Indexed by depth: the number of elements of the open list so far, and of every closed list (-1: none is
   * closed yet).
   */
  readonly counts: number[]
  readonly lengths: number[]
  /** The lengths of the lists at depth 2, once one differs. */
  rowLengths: number[] | undefined
}

/** Makes the pointer to the element that is being read. */
const pointerOf = (nest: Nest, depth: number): string => {
  let path = nest.pointer
  for (let level = 1; level <= depth; level += 1) path += `/${nest.counts[level]}`
  return path
}

const refuseShape = (pointer: string, detail: string): never =>
  refuse('SHAPE_MISMATCH', `${detail} at ${pointer}`, { errors: [{ pointer, detail }] })

const refuseElement = (nest: Nest, at: number): never => {
  const kind = kindAt(nest.cursor, at)
  const pointer = pointerOf(nest, nest.depth)
  const detail = `expected a number${nest.depth === 0 ? ' or a list of numbers' : ''}, got ${kind}`
  return refuse('INVALID_REQUEST', `${detail} at ${pointer}`, { errors: [{ pointer, detail }] })
}

const openList = (nest: Nest, at: number, baseDepth: number): void => {
  if (nest.leafDepth >= 0 && nest.depth >= nest.leafDepth)
    refuseShape(pointerOf(nest, nest.depth), 'expected a number like the others at this depth, got a list')
  nest.depth += 1
  checkDepth(nest.cursor, at, baseDepth + nest.depth)
  nest.depthMost = Math.max(nest.depthMost, nest.depth)
  nest.counts[nest.depth] = 0
  nest.lengths[nest.depth] ??= -1
}

const closeList = (nest: Nest): void => {
  const { depth, lengths } = nest
  const length = nest.counts[depth]
  if (lengths[depth] < 0) lengths[depth] = length
  if (depth === 2 && (nest.rowLengths !== undefined || length !== lengths[2])) {
    if (nest.depthMost > 2)
      refuseShape(
        pointerOf(nest, 1),
        `expected ${lengths[2]} lists like before, got ${length}: only rows of numbers may differ in length`,
      )
    nest.rowLengths ??= Array.from({ length: nest.counts[1] }, () => lengths[2])
    nest.rowLengths.push(length)
  } else if (length !== lengths[depth]) {
    refuseShape(pointerOf(nest, depth - 1), `expected ${lengths[depth]} elements like before, got ${length}`)
  }
  nest.depth -= 1
}

const valuesOf = ({ cursor, precision }: Nest): Values => cursor.scanner.values[precision]

const flushValues = (nest: Nest): void => {
  nest.chunks.push(valuesOf(nest).slice(0, nest.filled))
  nest.filled = 0
}

/**
 * Returns how many more numbers are allowed and fit into the scanner's values. Full values are moved to
 * `chunks` first.
 */
const makeRoom = (nest: Nest): number => {
  const { length } = valuesOf(nest)
  if (nest.filled === length) flushValues(nest)
  return Math.min(length - nest.filled, nest.limit.countMax - nest.count)
}

/**
 * Reads numbers from `start` on. Returns the place behind the last number; if an element that is no number
 * follows, that is the place of the comma before it.
 */
const readRun = (nest: Nest, start: number): number => {
  const { cursor, depth, limit, precision } = nest
  const { bytes, scanner } = cursor
  if (nest.leafDepth < 0) nest.leafDepth = depth
  if (depth !== nest.leafDepth || depth !== nest.depthMost) {
    refuseShape(pointerOf(nest, depth), 'expected a list like the others at this depth, got a number')
  }
  let at = start
  for (;;) {
    if (nest.count >= limit.countMax) refuseCount(nest.pointer, limit)
    const room = makeRoom(nest)
    let end = scanner.scan(precision, at, nest.filled, nest.filled + (depth === 0 ? 1 : room))
    let { count } = scanner
    if (count === 0) {
      const values = valuesOf(nest)
      end = skipSpace(bytes, readNumber(cursor, at, values, nest.filled))
      nest.isTooLarge ||= precision === 'single' && !Number.isFinite(values[nest.filled])
      count = 1
    }
    nest.filled += count
    nest.count += count
    nest.counts[depth] += count
    at = bytes[end] === COMMA && depth > 0 ? skipSpace(bytes, end + 1) : end
    if (at === end || !startsNumber(bytes[at])) {
      nest.counts[depth] -= 1
      return end
    }
  }
}

/**
 * Reads lists of the same length as the one that ended before `start`, as long as the scanner knows their
 * form. Returns the place behind the last of them; the caller reads all others.
 */
const readRows = (nest: Nest, start: number): number => {
  const { cursor, depth, lengths, precision } = nest
  if (depth + 1 !== nest.leafDepth || nest.rowLengths !== undefined) return start
  const length = lengths[depth + 1]
  let at = start
  for (;;) {
    const room = makeRoom(nest)
    if (room < length) return at
    const end = cursor.scanner.scanRows(precision, at, length, nest.filled, nest.filled + room)
    const { count } = cursor.scanner
    if (count === 0) return at
    nest.filled += count * length
    nest.count += count * length
    nest.counts[depth] += count
    at = end
  }
}

const takeValues = (nest: Nest): Values => {
  if (nest.chunks.length === 0) {
    const values = valuesOf(nest).subarray(0, nest.filled)
    return values instanceof Float32Array ? nest.keepSingles(values) : values.slice()
  }
  flushValues(nest)
  const values = nest.precision === 'single' ? new Float32Array(nest.count) : new Float64Array(nest.count)
  let index = 0
  for (const chunk of nest.chunks) {
    values.set(chunk, index)
    index += chunk.length
  }
  return values
}

const takeTensor = (nest: Nest): JsonTensor => {
  const values = takeValues(nest)
  const shape = nest.lengths.slice(1)
  if (nest.rowLengths === undefined) return { values, shape }
  return { values, shape: [shape[0], -1], lengths: Int32Array.from(nest.rowLengths) }
}

/**
 * Reads the value at the cursor as nested number arrays; a bare number has rank 0. `pointer` is its place in
 * the body and `baseDepth` the number of objects and lists around it. Refuses INVALID_REQUEST at an element
 * that is no number, SHAPE_MISMATCH for numbers beside lists and for lists of different length (the rows of
 * rank 2 may differ), and BATCH_TOO_LARGE above the limit of numbers. With the precision `single` the
 * values are rounded to float32, unless one of them is too large: then they stay float64. `keepSingles`
 * provides memory for up to 65,536 float32 values; without it, and for more values, new memory is allocated.
 */
export const readTensor = (
  cursor: JsonCursor,
  pointer: string,
  baseDepth: number,
  limit: CountLimit,
  precision: Precision = 'double',
  keepSingles: KeepSingles = copySingles,
): JsonTensor => {
  const { bytes } = cursor
  const nest: Nest = {
    cursor,
    pointer,
    limit,
    precision,
    keepSingles,
    isTooLarge: false,
    count: 0,
    filled: 0,
    chunks: [],
    depth: 0,
    depthMost: 0,
    leafDepth: -1,
    counts: [0],
    lengths: [0],
    rowLengths: undefined,
  }
  let at = cursor.at
  for (;;) {
    const byte = bytes[at]
    if (byte === OPEN) {
      openList(nest, at, baseDepth)
      at = skipSpace(bytes, at + 1)
      if (bytes[at] !== CLOSE) continue
      nest.counts[nest.depth] = -1
    } else if (startsNumber(byte)) at = readRun(nest, at)
    else refuseElement(nest, at)
    while (nest.depth > 0 && bytes[at] === CLOSE) {
      nest.counts[nest.depth] += 1
      closeList(nest)
      if (nest.depth > 0) at = skipSpace(bytes, readRows(nest, at + 1))
      else at += 1
    }
    if (nest.depth === 0) break
    if (bytes[at] !== COMMA) refuseByte(cursor, at, "',' or ']'")
    nest.counts[nest.depth] += 1
    at = skipSpace(bytes, at + 1)
  }
  // The values are read again as float64, so that the error can name the number that is too large.
  if (nest.isTooLarge) return readTensor(cursor, pointer, baseDepth, limit)
  cursor.at = at
  return takeTensor(nest)
}
