/** Reads the JSON specification of a table. */
import { type ErrorPlace, refuse } from '../../core/errors.ts'
import { type JsonTensor, readJsonObject, toFloat32 } from '../../formats/json-reader.ts'
import { formatShape } from '../../formats/shape.ts'
import type { Specification } from '../../upload/create.ts'
import { completeSettings } from '../schemas/settings.ts'
import { SpecificationMembers } from '../schemas/table.ts'
import { compileChecker } from '../validate.ts'

const checkMembers = compileChecker(SpecificationMembers, ['values'])

/**
 * Reads a specification from its JSON body and adds the defaults: float32, zeros. Refuses INVALID_REQUEST,
 * SHAPE_MISMATCH, NON_FINITE.
 */
export const readSpecification = (
  body: Buffer,
): Omit<Specification, 'name' | 'precondition' | 'checkWanted'> => {
  const { members, tensors } = readJsonObject(body, ['values'], { singles: ['values'] })
  const { rows, dim, dtype = 'float32', initializer, ...settingsMembers } = checkMembers(members)
  const settings = completeSettings(settingsMembers)
  const tensor = tensors.get('values')
  if (tensor !== undefined) {
    if (initializer !== undefined) refusePlace('/initializer', 'is not allowed beside values')
    return { ...readValues(tensor, rows, dim), dtype, settings }
  }
  const missing: ErrorPlace[] = []
  if (rows === undefined) missing.push({ pointer: '/rows', detail: 'is missing' })
  if (dim === undefined) missing.push({ pointer: '/dim', detail: 'is missing' })
  if (rows === undefined || dim === undefined) {
    return refuse('INVALID_REQUEST', 'a specification needs rows and dim, or values', { errors: missing })
  }
  return { rows, dim, dtype, settings, source: { initializer: initializer ?? { kind: 'zeros' } } }
}

/** Takes rows and dim from the values. Members of the same names must agree with them. */
const readValues = (
  tensor: JsonTensor,
  rows: number | undefined,
  dim: number | undefined,
): Pick<Specification, 'rows' | 'dim' | 'source'> => {
  const { shape, lengths } = tensor
  if (lengths !== undefined) refuse('SHAPE_MISMATCH', 'values are ragged: all rows must have the same length')
  if (shape.length !== 2)
    refuse(
      'SHAPE_MISMATCH',
      `values must be rows of numbers, [[..], [..]]; they have shape [${formatShape([...shape])}]`,
    )
  if ((rows ?? shape[0]) !== shape[0] || (dim ?? shape[1]) !== shape[1]) {
    refuse('SHAPE_MISMATCH', `values have ${shape[0]} rows of ${shape[1]}; the members rows and dim differ`)
  }
  return { rows: shape[0], dim: shape[1], source: { values: toFloat32(tensor, '/values') } }
}

const refusePlace = (pointer: string, detail: string): never =>
  refuse('INVALID_REQUEST', `${pointer} ${detail}`, { errors: [{ pointer, detail }] })
