/** Checks values from outside against schemas that are compiled once. */
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { assert } from '../core/assert.ts'
import { type ErrorPlace, refuse } from '../core/errors.ts'
import { fitsFloat32 } from '../core/types.ts'
import { LIMITS } from '../core/limits.ts'
import { explainSchemaError, pointerTo } from './errors/schema-errors.ts'

/** Checks a value from outside against a schema that was compiled once. */
export type Checker<Schema extends TSchema> = (value: unknown, at?: string) => Static<Schema>

/**
 * Compiles `schema` to a check without coercion and without defaults. The check returns the value itself. It
 * refuses INVALID_REQUEST with pointers to the places that do not fit, and NON_FINITE for a number that is
 * infinite as float32. `at` is the pointer of the value inside the body. `alsoKnown` are members that are
 * read elsewhere; messages about unknown ones list them.
 */
export const compileChecker = <Schema extends TSchema>(
  schema: Schema,
  alsoKnown: readonly string[] = [],
): Checker<Schema> => {
  const compiled = Compile(schema)
  return (value, at = '') => {
    const fits = compiled.Check(value)
    const places = fits ? [] : explainSchemaError(schema, value, at, alsoKnown)
    if (places.length > 0) refusePlaces('INVALID_REQUEST', places)
    const tooLarge = findTooLarge(value, at)
    if (tooLarge.length > 0) refusePlaces('NON_FINITE', tooLarge)
    assert(fits, 'a mismatch has an explanation')
    return value
  }
}

/**
 * Finds the numbers that are infinite as float32, in which tables compute. Integers have bounds in their
 * schemas.
 */
const findTooLarge = (value: unknown, at: string): ErrorPlace[] => {
  if (typeof value === 'number')
    return fitsFloat32(value) ? [] : [{ pointer: at, detail: 'is too large for float32' }]
  if (typeof value !== 'object' || value === null) return []
  const places: ErrorPlace[] = []
  for (const name in value) {
    const member = (value as Record<string, unknown>)[name]
    // Most members are text, which contains no numbers.
    if (typeof member !== 'string') places.push(...findTooLarge(member, pointerTo(at, name)))
  }
  return places
}

/** The query string as Fastify parses it. */
export type Query = Readonly<Record<string, string | string[] | undefined>>

/**
 * Compiles the schema of a query string: an object of scalars. Text becomes a number, boolean or null only if
 * the schema has one and the text is exactly that in JSON; `1e1` is a number but not an integer. Refuses as
 * {@link compileChecker}.
 */
export const compileQueryChecker = <Schema extends TSchema>(
  schema: Schema,
): ((query: Query) => Static<Schema>) => {
  const check = compileChecker(schema)
  const properties = (schema as { properties?: Record<string, ScalarSchema> }).properties
  assert(properties !== undefined, 'the schema of a query string is one of an object')
  return (query) => {
    const converted = Object.entries(query).map(([name, text]): [string, unknown] => {
      if (Array.isArray(text))
        refusePlaces('INVALID_REQUEST', [{ pointer: pointerTo('', name), detail: 'is given more than once' }])
      return [name, Object.hasOwn(properties, name) ? convertText(properties[name], text as string) : text]
    })
    // An assignment to `__proto__` would make no member, and the check would not see the name.
    return check(Object.fromEntries(converted))
  }
}

interface ScalarSchema {
  type?: string
  anyOf?: ScalarSchema[]
}

const INTEGER = /^-?(0|[1-9]\d*)$/
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

/** Returns the value that the text stands for in the schema; otherwise the text itself. */
const convertText = (schema: ScalarSchema, text: string): unknown => {
  for (const { type } of schema.anyOf ?? [schema]) {
    if (type === 'integer' && INTEGER.test(text) && Number.isSafeInteger(Number(text))) return Number(text)
    if (type === 'number' && NUMBER.test(text)) return Number(text)
    if (type === 'boolean' && (text === 'true' || text === 'false')) return text === 'true'
    if (type === 'null' && text === 'null') return null
  }
  return text
}

/** Refuses with the first place as the detail, and all places up to the limit as `errors`. */
const refusePlaces = (code: 'INVALID_REQUEST' | 'NON_FINITE', places: readonly ErrorPlace[]): never => {
  const { pointer, detail } = places[0]
  const more = places.length > 1 ? ` (and ${places.length - 1} more)` : ''
  return refuse(code, `${pointer === '' ? 'the body' : pointer} ${detail}${more}`, {
    errors: places.slice(0, LIMITS.errorPlacesMax),
  })
}
