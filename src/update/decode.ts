/**
 * Decodes the arrays of an update from its body: JSON numbers, or named arrays. The schemas in http/ check
 * the other members.
 */
import { refuse } from '../core/errors.ts'
import { findNamedArrays, type FormatName } from '../formats/format.ts'
import { suggestName } from '../core/suggest-name.ts'
import { quoteText } from '../formats/scanner.ts'
import { asFloat32, asIndexArray } from '../formats/index-array.ts'
import type { KeepSingles } from '../formats/json-nest.ts'
import { type JsonTensor, toFloat32, toIndexArray } from '../formats/json-reader.ts'
import type { UpdateArguments } from '../writer/protocol.ts'
import type { UpdateArrays } from './plan.ts'

/** The name that a request gives to its values. */
export type ValuesName = UpdateArrays['valuesName']

/** An update as its request states it. */
export interface ParsedUpdate {
  arrays: UpdateArrays
  operation: UpdateArguments['operation']
  learningRate?: number
}

/**
 * Makes memory for the values of JSON updates, which the next one overwrites. The writer's copy of an update
 * is made before the next body is read, so one buffer is enough, and nothing is allocated per request.
 */
export const createValueMemory = (): KeepSingles => {
  let buffer = new Float32Array(0)
  return (values) => {
    if (buffer.length < values.length) buffer = new Float32Array(values.length)
    buffer.set(values)
    return buffer.subarray(0, values.length)
  }
}

/** Decodes the arrays of a JSON update. Refuses INVALID_REQUEST, SHAPE_MISMATCH, NON_FINITE. */
export const fromTensors = (
  tensors: ReadonlyMap<string, JsonTensor>,
  valuesName: ValuesName,
): UpdateArrays => {
  const indices = tensors.get('indices') ?? refuseMissing('indices')
  const values = tensors.get(valuesName) ?? refuseMissing(valuesName)
  refuseRagged('indices', indices)
  refuseRagged(valuesName, values)
  return {
    indices: toIndexArray(indices, '/indices'),
    shape: indices.shape,
    values: toFloat32(values, `/${valuesName}`),
    valuesShape: values.shape,
    valuesName,
  }
}

const refuseRagged = (name: string, { lengths }: JsonTensor): void => {
  if (lengths === undefined) return
  refuse('SHAPE_MISMATCH', `${name} are ragged: all rows must have the same length`, {
    errors: [{ pointer: `/${name}`, detail: 'rows must have equal lengths' }],
  })
}

/**
 * Reads the arrays of an update, as views of the body where its numbers are aligned. Refuses
 * UNSUPPORTED_MEDIA_TYPE for a format whose arrays have no names, MALFORMED_BODY, INVALID_REQUEST,
 * DTYPE_MISMATCH.
 */
export const fromNamedArrays = (format: FormatName, body: Buffer, valuesName: ValuesName): UpdateArrays => {
  const tensors = findNamedArrays(format).read(body)
  for (const name of tensors.keys()) {
    if (name === 'indices' || name === valuesName) continue
    refuse(
      'INVALID_REQUEST',
      `the body has a tensor ${quoteText(name)}${suggestName(name, ['indices', valuesName]) || ';'} ` +
        `only indices and ${valuesName} are expected`,
    )
  }
  const indices = tensors.get('indices') ?? refuseMissing('indices')
  const values = tensors.get(valuesName) ?? refuseMissing(valuesName)
  return {
    indices: asIndexArray(indices.data, indices.elementType),
    shape: indices.shape,
    values: asFloat32(values.data, values.elementType),
    valuesShape: values.shape,
    valuesName,
  }
}

const refuseMissing = (name: string): never =>
  refuse('INVALID_REQUEST', `the body has no ${name}`, {
    errors: [{ pointer: `/${name}`, detail: 'is required' }],
  })
