/**
 * Parses what a client requests in its headers: formats by Content-Type and Accept, a timeout, a request id.
 */
import { refuse } from '../core/errors.ts'
import {
  type FormatName,
  FORMATS,
  formatNames,
  namedArraysNames,
  tableFormatNames,
} from '../formats/format.ts'
import { quoteText } from '../formats/scanner.ts'

/** The formats of requests and answers: JSON, and those of the registry. */
export type Format = 'json' | FormatName

/** The media type of each format. */
export const FORMAT_MEDIA_TYPES = Object.fromEntries([
  ['json', 'application/json'],
  ...FORMATS.map(({ name, mediaType }) => [name, mediaType]),
]) as Readonly<Record<Format, string>>

/** The formats of one lookup and of its answer. */
export const LOOKUP_FORMATS: readonly Format[] = ['json', ...formatNames()]

/** The formats of requests and answers that consist of several arrays. */
export const ARRAYS_FORMATS: readonly Format[] = ['json', ...namedArraysNames()]

/** The formats of named arrays without JSON, for adapters and exports with optimizer state. */
export const NAMED_ARRAYS_FORMATS: readonly FormatName[] = namedArraysNames()

/** The formats of a whole table, in order of preference. */
export const TABLE_FORMATS: readonly FormatName[] = tableFormatNames()

/** The media types of formats, in their order. */
export const listMediaTypes = (formats: readonly Format[]): string[] =>
  formats.map((format) => FORMAT_MEDIA_TYPES[format])

const FORMATS_BY_TYPE = new Map(
  Object.entries(FORMAT_MEDIA_TYPES).map(([format, type]) => [type, format as Format]),
)

/** A media type as in RFC 9110: token, slash, token. Parameters after a semicolon are ignored. */
const MEDIA_TYPE = /^[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;.*)?$/

/** Reads the type and subtype of a Content-Type, in lower case; undefined when it is malformed. */
export const parseMediaType = (header: string): string | undefined =>
  MEDIA_TYPE.exec(header)?.[1].toLowerCase()

/** Finds the format that a Content-Type names; undefined for none and for others. */
export const parseFormat = (header: string | undefined): Format | undefined => {
  if (header === undefined) return undefined
  return FORMATS_BY_TYPE.get(header) ?? FORMATS_BY_TYPE.get(parseMediaType(header) ?? '')
}

interface AcceptRange {
  type: string
  quality: number
  order: number
}

/**
 * Chooses the format to answer in (RFC 9110, 12.5.1). `offered` is in the server's order of preference: its
 * first is the answer to no `Accept` and to `*` `/*`. Among equal qualities the more specific range wins,
 * then the client's order. Refuses NOT_ACCEPTABLE.
 */
export const negotiateFormat = (accept: string | undefined, offered: readonly Format[]): Format => {
  if (accept === undefined || accept === '*/*' || accept === '') return offered[0]
  // Programs send one bare type, thousands of times a second, so it is looked up first.
  const exact = FORMATS_BY_TYPE.get(accept)
  if (exact !== undefined && offered.includes(exact)) return exact
  return (
    chooseByAccept(accept, offered, (format) => FORMAT_MEDIA_TYPES[format]) ?? refuseAccept(accept, offered)
  )
}

/**
 * Chooses the one of `offered` that a client prefers; undefined when it accepts none. `typeOf` returns the
 * media type of each.
 */
export const chooseByAccept = <Offer>(
  accept: string,
  offered: readonly Offer[],
  typeOf: (offer: Offer) => string,
): Offer | undefined => {
  const ranges = splitList(accept).flatMap(parseRange)
  const rank = (offer: Offer, preference: number) => {
    const fitting = ranges.filter((range) => specificity(range.type, typeOf(offer)) >= 0)
    // The most specific range decides on a type, so that "*/*, text/html;q=0" excludes it.
    fitting.sort(
      (a, b) => specificity(b.type, typeOf(offer)) - specificity(a.type, typeOf(offer)) || a.order - b.order,
    )
    return { offer, preference, range: fitting[0] as AcceptRange | undefined }
  }
  const ranked = offered
    .map(rank)
    .flatMap(({ offer, preference, range }) =>
      range === undefined || range.quality === 0
        ? []
        : [{ offer, preference, range, level: specificity(range.type, typeOf(offer)) }],
    )
  ranked.sort(
    (a, b) =>
      b.range.quality - a.range.quality ||
      b.level - a.level ||
      a.range.order - b.range.order ||
      a.preference - b.preference,
  )
  return ranked[0]?.offer
}

/** The elements of a list (RFC 9110, 5.6.1). A comma in a quoted string separates none. */
const splitList = (text: string): string[] => text.match(/(?:"(?:[^"\\]|\\.)*"|[^,])+/g) ?? []

const WEIGHT = /;[ \t]*q[ \t]*=[ \t]*(\d*\.?\d*)[ \t]*(?:;|$)/i

/**
 * Reads one element of an Accept header. An unreadable one matches nothing; an unreadable weight is left out.
 * Java sent `*; q=.2` for 25 years, so a lone star and a weight without its zero are read as they are meant.
 */
const parseRange = (text: string, order: number): AcceptRange[] => {
  const type = parseMediaType(text.replace(/^[ \t]*\*[ \t]*(?=;|$)/, '*/*'))
  if (type === undefined) return []
  const weight = WEIGHT.exec(text.replaceAll(/"(?:[^"\\]|\\.)*"/g, ''))?.[1] ?? ''
  const quality = /\d/.test(weight) ? Math.min(1, Number(weight)) : 1
  return [{ type, quality, order }]
}

/** Rates how closely a range names a type: 2 exactly, 1 by its first half, 0 as any type, -1 not at all. */
const specificity = (range: string, type: string): number => {
  if (range === type) return 2
  if (range === '*/*') return 0
  return range.endsWith('/*') && type.startsWith(range.slice(0, -1)) ? 1 : -1
}

const refuseAccept = (accept: string, offered: readonly Format[]): never =>
  refuse('NOT_ACCEPTABLE', `Accept is ${quoteText(accept)}; available: ${listMediaTypes(offered).join(', ')}`)

/**
 * Reads the client's timeout, in milliseconds from the arrival of the request; undefined without the header.
 * Refuses INVALID_REQUEST for anything but a whole number.
 */
export const parseRequestTimeout = (header: string | string[] | undefined): number | undefined => {
  if (header === undefined) return undefined
  if (typeof header === 'string' && /^\d{1,9}$/.test(header)) return Number(header)
  return refuse(
    'INVALID_REQUEST',
    `X-Request-Timeout-Ms must be a whole number of milliseconds, it is ${quoteText(String(header))}`,
  )
}

/** Whether a client's request id is short and plain, so that it can be logged and echoed. */
export const isRequestId = (header: string | string[] | undefined): header is string =>
  typeof header === 'string' && /^[A-Za-z0-9._:/+=-]{1,128}$/.test(header)
