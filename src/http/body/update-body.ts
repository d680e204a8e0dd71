import { refuse } from '../../core/errors.ts'
import type { KeepSingles } from '../../formats/json-nest.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { fromSafetensors, fromTensors, type ParsedUpdate, type ValuesName } from '../../update/decode.ts'
import { GradientsMembers, RowsMembers } from '../schemas/updates.ts'
import { compileChecker } from '../validate.ts'

/** The query of a safetensors update; a JSON update has the same as members of its body. */
export interface UpdateQuery {
  learning_rate?: number
  op?: 'set' | 'add'
}

const checkGradientsMembers = compileChecker(GradientsMembers)
const checkRowsMembers = compileChecker(RowsMembers)

/**
 * Reads the body and the query of an update. The values of a JSON body lie in `keepSingles`, until the next
 * one is read. Refuses INVALID_REQUEST, and what the format refuses.
 */
export const readUpdate = (
  route: 'gradients' | 'rows',
  format: 'json' | 'safetensors',
  body: Buffer,
  query: UpdateQuery,
  keepSingles: KeepSingles,
): ParsedUpdate => {
  const valuesName: ValuesName = route === 'gradients' ? 'gradients' : 'values'
  if (format === 'safetensors') {
    if (route === 'gradients')
      return {
        arrays: fromSafetensors(body, valuesName),
        operation: 'gradients',
        learningRate: query.learning_rate,
      }
    const operation = query.op ?? refuseNoOperation()
    return { arrays: fromSafetensors(body, valuesName), operation }
  }
  refuseQuery(query)
  const limits = { singles: [valuesName], keepSingles }
  const { members, tensors } = readJsonObject(body, ['indices', valuesName], limits)
  const arrays = fromTensors(tensors, valuesName)
  if (route === 'rows') return { arrays, operation: checkRowsMembers(members).op }
  return { arrays, operation: 'gradients', learningRate: checkGradientsMembers(members).learning_rate }
}

const refuseNoOperation = (): never =>
  refuse('INVALID_REQUEST', '?op=set or ?op=add is needed', {
    errors: [{ pointer: '/op', detail: 'is required' }],
  })

const refuseQuery = (query: UpdateQuery): void => {
  const stray = Object.keys(query)[0]
  if (stray !== undefined)
    refuse('INVALID_REQUEST', `?${stray} is for safetensors bodies; a JSON body has it inside`)
}
