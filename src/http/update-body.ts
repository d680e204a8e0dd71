import { refuse } from '../core/errors.ts'
import { asFloat32, asIndexArray } from '../formats/index-array.ts'
import { readJsonObject, toFloat32, toIndexArray } from '../formats/json-reader.ts'
import { readSafetensors } from '../formats/safetensors.ts'
import type { UpdateArrays } from '../keeper/request.ts'

type ValuesName = UpdateArrays['valuesName']

/** The arrays of a JSON update, and its other members still to be checked. */
export const readJsonUpdate = (body: Buffer, valuesName: ValuesName): { arrays: UpdateArrays; members: Record<string, unknown> } => {
  const { members, tensors } = readJsonObject(body, ['indices', valuesName], { singles: [valuesName] })
  const indices = tensors.get('indices') ?? refuseMissing('indices')
  const values = tensors.get(valuesName) ?? refuseMissing(valuesName)
  for (const [name, tensor] of [
    ['indices', indices],
    [valuesName, values],
  ] as const) {
    if (tensor.lengths === undefined) continue
    refuse('SHAPE_MISMATCH', `${name} are ragged`, { errors: [{ pointer: `/${name}`, detail: 'rows must have equal lengths' }] })
  }
  const arrays = {
    indices: toIndexArray(indices, '/indices'),
    shape: indices.shape,
    values: toFloat32(values, `/${valuesName}`),
    valuesShape: values.shape,
    valuesName,
  }
  return { arrays, members }
}

/** The arrays of a safetensors update: views of the body where its numbers can be read in their places. */
export const readBinaryUpdate = (body: Buffer, valuesName: ValuesName): UpdateArrays => {
  const tensors = readSafetensors(body)
  for (const name of tensors.keys()) {
    if (name === 'indices' || name === valuesName) continue
    refuse('INVALID_REQUEST', `there is a tensor ${JSON.stringify(name)}; expected indices and ${valuesName}`)
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
  refuse('INVALID_REQUEST', `${name} are missing`, { errors: [{ pointer: `/${name}`, detail: 'is required' }] })
