/**
 * The registry of wire formats. One row holds every fact that the rest of the service needs about a format:
 * routes, plans, answers, the OpenAPI document and the commands derive their lists and checks from the rows.
 * A new format is therefore a file of its own, a row here and a golden test. JSON has no row, because it is
 * parsed and printed number by number.
 */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import type { Dtype, ElementType } from '../core/types.ts'
import { frameNpy, locateNpy, looksLikeNpy, npyHeaderBytes, NPY_PREFIX_BYTES, readNpy } from './npy.ts'
import { readRaw } from './raw.ts'
import {
  frameSafetensors,
  locateSafetensors,
  looksLikeSafetensors,
  readSafetensors,
  SAFETENSORS_PREFIX_BYTES,
  safetensorsHeaderBytes,
} from './safetensors.ts'
import type { ArrayPlace, Frame, LocatedArrays, NamedArray, TypedBytes } from './shape.ts'

/** The facts that every format has. */
interface FormatFacts {
  name: string
  mediaType: string
  /** File endings without the dot; downloads get the first. */
  fileEndings: readonly [string, ...string[]]
  /** Dtypes of tables whose rows the format cannot carry as they are stored. */
  lacks: readonly Dtype[]
}

/**
 * The facts of formats whose bodies begin with a header. An upload finds the arrays by it before the rest of
 * the body has arrived.
 */
interface HeaderFacts {
  /** Whether a file that begins with these bytes is of this format. */
  recognises(prefix: Uint8Array): boolean
  /** `measureHeader` never needs more than this many bytes. */
  prefixBytes: number
  /** Returns the length of the header; null when `prefix` is too short to say. Refuses MALFORMED_BODY. */
  measureHeader(prefix: Uint8Array): number | null
}

/** A format of bare numbers. Their shape is in the query of a request, or in the headers of an answer. */
export interface NumbersFormat extends FormatFacts {
  carries: 'numbers'
  /** Reads a whole body. With a shape of null the result has one dimension. */
  read(bytes: Uint8Array, elementType: ElementType, shape: readonly number[] | null): TypedBytes
}

/** One array without a name. */
export interface ArrayFormat extends FormatFacts, HeaderFacts {
  carries: 'one array'
  /** Reads a whole body. */
  read(bytes: Uint8Array): TypedBytes
  /** Finds the array by the header. `announcedBytes` is the length of the body, null when it is unknown. */
  locate(header: Uint8Array, announcedBytes: number | null): { array: ArrayPlace; bodyBytes: number }
  /** Makes the bytes around the numbers of an answer or an export. */
  frame(array: NamedArray): Frame
}

/** Several named arrays, with metadata as text. */
export interface NamedArraysFormat extends FormatFacts, HeaderFacts {
  carries: 'named arrays'
  /** Reads a whole body. */
  read(bytes: Uint8Array): ReadonlyMap<string, TypedBytes>
  /** Finds the arrays by the header. `announcedBytes` is the length of the body, null when it is unknown. */
  locate(header: Uint8Array, announcedBytes: number | null): LocatedArrays
  /** Makes the bytes around arrays that follow each other without gaps. */
  frame(arrays: readonly NamedArray[], metadata?: ReadonlyMap<string, string>): Frame
}

export type Format = NumbersFormat | ArrayFormat | NamedArraysFormat

/** The format of bare numbers. Lookups within the service also answer in it, and are framed later. */
export const RAW = {
  name: 'raw',
  mediaType: 'application/octet-stream',
  fileEndings: ['bin', 'raw'],
  carries: 'numbers',
  lacks: [],
  read: readRaw,
} as const satisfies NumbersFormat

const NPY = {
  name: 'npy',
  mediaType: 'application/x-npy',
  fileEndings: ['npy'],
  carries: 'one array',
  // NumPy has no bfloat16, and an int8 row has a scale and a bias besides its bytes.
  lacks: ['bfloat16', 'int8'],
  recognises: looksLikeNpy,
  prefixBytes: NPY_PREFIX_BYTES,
  measureHeader: npyHeaderBytes,
  read: readNpy,
  locate: locateNpy,
  frame: frameNpy,
} as const satisfies ArrayFormat

/** The format of one array, in which commands send what they have converted. */
export const ONE_ARRAY: ArrayFormat = NPY

const SAFETENSORS = {
  name: 'safetensors',
  mediaType: 'application/x-safetensors',
  fileEndings: ['safetensors'],
  carries: 'named arrays',
  lacks: [],
  recognises: looksLikeSafetensors,
  prefixBytes: SAFETENSORS_PREFIX_BYTES,
  measureHeader: safetensorsHeaderBytes,
  read: readSafetensors,
  locate: locateSafetensors,
  frame: frameSafetensors,
} as const satisfies NamedArraysFormat

/** The rows, in the order of the documentation, which is the order of preference too. */
const ROWS = [RAW, NPY, SAFETENSORS] as const

/** The name of a format that has a row. */
export type FormatName = (typeof ROWS)[number]['name']

type NamedFormat = Format & { name: FormatName }

const rows: NamedFormat[] = [...ROWS]
const rowsByName = new Map<string, NamedFormat>(rows.map((row) => [row.name, row]))

/** Every row. */
export const FORMATS: readonly NamedFormat[] = rows

/**
 * Adds a row, for tests. It must be called before the modules are loaded that derive their tables from the
 * rows. Returns a function that removes the row.
 */
export const registerFormat = (format: Format): (() => void) => {
  assert(!rowsByName.has(format.name), 'formats have distinct names')
  const row = format as NamedFormat
  rows.push(row)
  rowsByName.set(row.name, row)
  return () => {
    rows.splice(rows.indexOf(row), 1)
    rowsByName.delete(row.name)
  }
}

/** Finds the row of a format by its name. */
export const findFormat = (name: FormatName): NamedFormat => {
  const row = rowsByName.get(name)
  assert(row !== undefined, 'every format name has a row')
  return row
}

/** Finds the row of a format of named arrays. Refuses (UNSUPPORTED_MEDIA_TYPE) every other format. */
export const findNamedArrays = (name: FormatName): NamedArraysFormat => {
  const row = findFormat(name)
  if (row.carries === 'named arrays') return row
  return refuse(
    'UNSUPPORTED_MEDIA_TYPE',
    `${row.name} has no names for arrays; send ${listNamedArrayTypes()}`,
  )
}

/** The names of all formats. */
export const formatNames = (): FormatName[] => rows.map(({ name }) => name)

/** The names of the formats whose arrays have names. */
export const namedArraysNames = (): FormatName[] =>
  rows.filter(({ carries }) => carries === 'named arrays').map(({ name }) => name)

/** The names of the formats of whole tables. Formats whose bodies contain their shape come first. */
export const tableFormatNames = (): FormatName[] =>
  [...rows.filter(describesItself), ...rows.filter((row) => !describesItself(row))].map(({ name }) => name)

/** Whether bodies of this format contain their shape and element type. */
export const describesItself = ({ carries }: Format): boolean => carries !== 'numbers'

/** The formats whose arrays have names, as messages list them. */
export const listNamedArrays = (): string => joinWords(namedArraysNames(), 'or')

/** The media types of the formats whose arrays have names, as messages list them. */
export const listNamedArrayTypes = (): string => joinWords(mediaTypesOf(namedArraysNames()), 'or')

/** The media types of formats. */
export const mediaTypesOf = (names: readonly FormatName[]): string[] =>
  names.map((name) => findFormat(name).mediaType)

/** Words as a message lists them: `a, b or c`. */
export const joinWords = (words: readonly string[], conjunction: 'and' | 'or'): string =>
  words.length < 2
    ? words.join('')
    : `${words.slice(0, -1).join(', ')} ${conjunction} ${words[words.length - 1]}`
