/** Reads the body and the query of an update, and checks the members beside its arrays. */
import { refuse } from '../../core/errors.ts'
import { listNamedArrays } from '../../formats/format.ts'
import type { KeepSingles } from '../../formats/json-nest.ts'
import { readJsonObject } from '../../formats/json-reader.ts'
import { fromNamedArrays, fromTensors, type ParsedUpdate, type ValuesName } from '../../update/decode.ts'
import type { Format } from '../negotiate.ts'
import { GradientsMembers, RowsMembers } from '../schemas/updates.ts'
import { compileChecker } from '../validate.ts'

/** The query of an update by named arrays. A JSON update has the same members in its body. */
export interface UpdateQuery {
  learning_rate?: number
  op?: 'set' | 'add'
}

const checkGradientsMembers = compileChecker(GradientsMembers, ['indices', 'gradients'])
const checkRowsMembers = compileChecker(RowsMembers, ['indices', 'values'])

/**
 * Reads the body and the query of an update. `keepSingles` provides the memory for the values of a JSON body,
 * which the next one overwrites. Refuses INVALID_REQUEST, and whatever the format refuses.
 */
export const readUpdate = (
  route: 'gradients' | 'rows',
  format: Format,
  body: Buffer,
  query: UpdateQuery,
  keepSingles: KeepSingles,
): ParsedUpdate => {
  const valuesName: ValuesName = route === 'gradients' ? 'gradients' : 'values'
  if (format !== 'json') {
    if (route === 'gradients')
      return {
        arrays: fromNamedArrays(format, body, valuesName),
        operation: 'gradients',
        learningRate: query.learning_rate,
      }
    const operation = query.op ?? refuseNoOperation()
    return { arrays: fromNamedArrays(format, body, valuesName), operation }
  }
  refuseQuery(query)
  const limits = { singles: [valuesName], keepSingles }
  const { members, tensors } = readJsonObject(body, ['indices', valuesName], limits)
  // The members are checked first: a misspelt name of an array is one of them.
  if (route === 'rows') {
    const { op } = checkRowsMembers(members)
    return { arrays: fromTensors(tensors, valuesName), operation: op }
  }
  const { learning_rate: learningRate } = checkGradientsMembers(members)
  return { arrays: fromTensors(tensors, valuesName), operation: 'gradients', learningRate }
}

const refuseNoOperation = (): never =>
  refuse('INVALID_REQUEST', 'the query parameter op is missing; send ?op=set or ?op=add', {
    errors: [{ pointer: '/op', detail: 'is required' }],
  })

const refuseQuery = (query: UpdateQuery): void => {
  const stray = Object.keys(query)[0]
  if (stray !== undefined)
    refuse('INVALID_REQUEST', `?${stray} is for ${listNamedArrays()} bodies; put it into the JSON body`)
}
