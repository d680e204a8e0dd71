/** Explains to clients why a value does not fit a schema. */
import type { ErrorPlace } from '../../core/errors.ts'
import { escapePointer } from '../../core/pointers.ts'
import { suggestName } from '../../core/suggest-name.ts'
import { joinWords } from '../../formats/format.ts'

/** The keywords that our schemas use. */
export interface PlainSchema {
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly PlainSchema[]
  properties?: Readonly<Record<string, PlainSchema>>
  required?: readonly string[]
  additionalProperties?: unknown
  items?: PlainSchema
  minItems?: number
  maxItems?: number
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  exclusiveMaximum?: number
}

/**
 * Explains where and why `value` does not fit `schema`: each place once, with the expected alternatives.
 * `alsoKnown` are names that the object may have and that are read elsewhere. Infinite numbers count as
 * numbers. The compiled check, not this function, decides whether there is an
 * error.
 */
export const explainSchemaError = (
  schema: PlainSchema,
  value: unknown,
  at: string,
  alsoKnown: readonly string[] = [],
): ErrorPlace[] => {
  if (schema.anyOf !== undefined) return explainUnion(schema.anyOf, value, at)
  const unexpected = explainType(schema, value)
  if (unexpected !== undefined) return [{ pointer: at, detail: unexpected }]
  if (isObject(value)) return explainObject(schema, value, at, alsoKnown)
  if (Array.isArray(value)) return explainArray(schema, value, at)
  const outside =
    typeof value === 'number'
      ? explainBounds(schema, value)
      : typeof value === 'string'
        ? explainText(schema, value)
        : undefined
  return outside === undefined ? [] : [{ pointer: at, detail: outside }]
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Explains a union. Objects that differ by their `kind` are explained by the schema of that kind. */
const explainUnion = (schemas: readonly PlainSchema[], value: unknown, at: string): ErrorPlace[] => {
  const kinds = schemas.flatMap((schema) => schema.properties?.kind?.const ?? [])
  if (kinds.length > 0 && isObject(value)) {
    const schemaOfKind = schemas.find((schema) => schema.properties?.kind?.const === value.kind)
    if (schemaOfKind === undefined)
      return [{ pointer: `${at}/kind`, detail: `must be one of ${listValues(kinds)}` }]
    return explainSchemaError(schemaOfKind, value, at)
  }
  const attempts = schemas.map((schema) => ({ schema, places: explainSchemaError(schema, value, at) }))
  if (attempts.some(({ places }) => places.length === 0)) return []
  // The client most likely meant the alternative of the right type, so its bounds are the explanation.
  const near = attempts.find(({ schema }) => explainType(schema, value) === undefined)
  return (
    near?.places ?? [
      { pointer: at, detail: `must be ${[...new Set(schemas.map(describeSchema))].join(' or ')}` },
    ]
  )
}

const TYPE_TESTS: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  null: (value) => value === null,
  integer: Number.isInteger,
  number: (value) => typeof value === 'number',
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
}

const explainType = (schema: PlainSchema, value: unknown): string | undefined => {
  const { type, const: constant, enum: values } = schema
  const fits =
    constant !== undefined
      ? value === constant
      : values !== undefined
        ? values.includes(value)
        : type === undefined || TYPE_TESTS[type](value)
  return fits ? undefined : `must be ${describeSchema(schema)}`
}

const describeSchema = ({ type, const: constant, enum: values }: PlainSchema): string => {
  if (constant !== undefined) return JSON.stringify(constant)
  if (values !== undefined) return `one of ${listValues(values)}`
  if (type === 'null') return 'null'
  return `${type === 'integer' || type === 'object' || type === 'array' ? 'an' : 'a'} ${type}`
}

const listValues = (values: readonly unknown[]): string =>
  values.map((value) => JSON.stringify(value)).join(', ')

const explainObject = (
  schema: PlainSchema,
  value: Record<string, unknown>,
  at: string,
  alsoKnown: readonly string[],
): ErrorPlace[] => {
  const properties = schema.properties ?? {}
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name))
  const places = missing.map((name) => ({ pointer: pointerTo(at, name), detail: 'is missing' }))
  for (const [name, member] of Object.entries(value)) {
    const pointer = pointerTo(at, name)
    if (Object.hasOwn(properties, name)) places.push(...explainSchemaError(properties[name], member, pointer))
    else if (schema.additionalProperties === false)
      places.push({ pointer, detail: explainUnknown(name, [...alsoKnown, ...Object.keys(properties)]) })
  }
  return places
}

const explainUnknown = (name: string, known: readonly string[]): string => {
  if (known.length === 0) return 'is not known here, where nothing is'
  const suggestion = suggestName(name, known)
  return `is not known here${suggestion === '' ? '; known are' : `${suggestion} Known are`} ${joinWords(known, 'and')}`
}

const explainArray = (schema: PlainSchema, value: readonly unknown[], at: string): ErrorPlace[] => {
  if (value.length < (schema.minItems ?? 0))
    return [{ pointer: at, detail: `must have at least ${schema.minItems} items` }]
  if (value.length > (schema.maxItems ?? Infinity))
    return [{ pointer: at, detail: `must have at most ${schema.maxItems} items` }]
  return value.flatMap((item, place) => explainSchemaError(schema.items ?? {}, item, `${at}/${place}`))
}

const explainBounds = (
  { minimum, maximum, exclusiveMinimum, exclusiveMaximum }: PlainSchema,
  value: number,
): string | undefined => {
  if (minimum !== undefined && value < minimum) return `must be at least ${minimum}`
  if (maximum !== undefined && value > maximum) return `must be at most ${maximum}`
  if (exclusiveMinimum !== undefined && value <= exclusiveMinimum) return `must be above ${exclusiveMinimum}`
  if (exclusiveMaximum !== undefined && value >= exclusiveMaximum) return `must be below ${exclusiveMaximum}`
  return undefined
}

const explainText = (schema: PlainSchema, value: string): string | undefined => {
  if (value.length < (schema.minLength ?? 0)) return `must have at least ${schema.minLength} characters`
  if (value.length > (schema.maxLength ?? Infinity)) return `must have at most ${schema.maxLength} characters`
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
    return `must match ${schema.pattern}`
  return undefined
}

/** The pointer to a member (RFC 6901). */
export const pointerTo = (at: string, name: string): string => `${at}/${escapePointer(cutName(name))}`

/** Shortens a name, because clients choose it and one of a megabyte would make the answer as long. */
const cutName = (name: string): string => (name.length > 64 ? `${name.slice(0, 64)}...` : name)
