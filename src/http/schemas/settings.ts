/** The schemas of table settings, in JSON bodies and in query parameters. */
import { type Static, Type } from 'typebox'
import { refuse } from '../../core/errors.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Optimizer, Settings } from '../../core/types.ts'
import { completeOptimizer, EXAMPLE_OPTIMIZER } from '../../optimizers/complete.ts'
import { OptimizerInput } from './optimizer.ts'
import { compileChecker } from '../validate.ts'
import { CLOSED, Durability, FillValue, Mode, PaddingIndex } from './scalars.ts'

const KeepVersions = Type.Integer({
  minimum: 1,
  maximum: LIMITS.keepVersionsMax,
  default: 2,
  description: 'How many versions of the data stay readable, the current one included',
})

/** The settings of a table as members of a JSON body. An absent setting does not change. */
export const settingsMembers = {
  out_of_range: Type.Optional(Mode),
  fill_value: Type.Optional(FillValue),
  padding_index: Type.Optional(PaddingIndex),
  optimizer: Type.Optional(OptimizerInput),
  durability: Type.Optional(Durability),
  keep_versions: Type.Optional(KeepVersions),
}

/** The body of PATCH. */
export const SettingsBody = Type.Object(settingsMembers, {
  ...CLOSED,
  title: 'Settings',
  examples: [{ out_of_range: 'fill', fill_value: 0, optimizer: EXAMPLE_OPTIMIZER }],
})

/** The settings as query parameters of an upload. The optimizer is JSON text, or its kind alone. */
export const settingsQuery = {
  ...settingsMembers,
  optimizer: Type.Optional(
    Type.String({
      description: 'The optimizer as JSON, or its kind alone',
      examples: [JSON.stringify(EXAMPLE_OPTIMIZER)],
    }),
  ),
}

/** Extracts the settings and writes out every default of their optimizer. */
export const completeSettings = (members: Static<typeof SettingsBody>): Partial<Settings> => {
  const { out_of_range, fill_value, padding_index, optimizer, durability, keep_versions } = members
  return {
    ...(out_of_range !== undefined && { out_of_range }),
    ...(fill_value !== undefined && { fill_value }),
    ...(padding_index !== undefined && { padding_index }),
    ...(optimizer !== undefined && { optimizer: completeOptimizer(optimizer) }),
    ...(durability !== undefined && { durability }),
    ...(keep_versions !== undefined && { keep_versions }),
  }
}

const SettingsQuery = Type.Object(settingsQuery)
const checkOptimizer = compileChecker(OptimizerInput)

/**
 * Reads the settings among the query parameters of an upload. Refuses INVALID_REQUEST for an optimizer that
 * cannot be read.
 */
export const readSettingsQuery = ({
  optimizer,
  ...others
}: Static<typeof SettingsQuery>): Partial<Settings> => {
  if (optimizer === undefined) return completeSettings(others)
  return { ...completeSettings(others), optimizer: readOptimizer(optimizer, 'the query parameter optimizer') }
}

/**
 * Reads an optimizer from text: JSON, or its kind alone. Refuses INVALID_REQUEST; `what` says where the text
 * comes from.
 */
export const readOptimizer = (text: string, what: string): Optimizer => {
  const input = text.startsWith('{') ? parseJson(text, what) : { kind: text }
  return completeOptimizer(checkOptimizer(input, '/optimizer'))
}

const parseJson = (text: string, what: string): unknown => {
  try {
    return JSON.parse(text)
  } catch (cause) {
    return refuse('INVALID_REQUEST', `${what} is not valid JSON`, {
      errors: [{ pointer: '/optimizer', detail: 'is not valid JSON' }],
      cause,
    })
  }
}
