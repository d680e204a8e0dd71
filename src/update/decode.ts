/*
 * One update out of its body and its query: JSON numbers, or arrays with names.
 */
import { refuse } from '../core/errors.ts'
import { findNamedArrays, type FormatName, listNamedArrays } from '../formats/format.ts'
import { asFloat32, asIndexArray } from '../formats/index-array.ts'
import type { KeepSingles } from '../formats/json-nest.ts'
import { readJsonObject, toFloat32, toIndexArray } from '../formats/json-reader.ts'
import type { UpdateArguments, UpdateResult } from '../writer/protocol.ts'
import type { UpdateArrays } from './plan.ts'
import { GradientsMembers, RowsMembers } from '../http/schemas/updates.ts'
import { compileChecker } from '../http/validate.ts'

type ValuesName = UpdateArrays['valuesName']

/** An update as it was asked for, before it is checked against its table. */
export interface ParsedUpdate {
  arrays: UpdateArrays
  operation: UpdateArguments['operation']
  learningRate?: number
}

/** The options in the query beside named arrays; a JSON body has them inside. */
export interface UpdateQuery {
  learning_rate?: number
  op?: 'set' | 'add'
}

const checkGradientsMembers = compileChecker(GradientsMembers)
const checkRowsMembers = compileChecker(RowsMembers)

/** The format of an update's body. */
export type UpdateFormat = 'json' | FormatName

/**
 * Reads an update. Refuses INVALID_REQUEST, UNSUPPORTED_MEDIA_TYPE for a format whose arrays have no names,
 * and bodies that cannot be read.
 */
export const readUpdate = (
  route: 'gradients' | 'rows',
  format: UpdateFormat,
  body: Buffer,
  query: UpdateQuery,
): ParsedUpdate => {
  if (format === 'json') refuseQuery(query)
  return route === 'gradients' ? readGradients(format, body, query) : readRows(format, body, query)
}

const refuseQuery = (query: UpdateQuery): void => {
  const stray = Object.keys(query)[0]
  if (stray !== undefined)
    refuse('INVALID_REQUEST', `?${stray} is for ${listNamedArrays()} bodies; a JSON body has it inside`)
}

const readGradients = (format: UpdateFormat, body: Buffer, query: UpdateQuery): ParsedUpdate => {
  if (format !== 'json') {
    return {
      arrays: readNamedArrays(format, body, 'gradients'),
      operation: 'gradients',
      learningRate: query.learning_rate,
    }
  }
  const { arrays, members } = readJsonUpdate(body, 'gradients')
  return { arrays, operation: 'gradients', learningRate: checkGradientsMembers(members).learning_rate }
}

const readRows = (format: UpdateFormat, body: Buffer, { op }: UpdateQuery): ParsedUpdate => {
  if (format === 'json') {
    const { arrays, members } = readJsonUpdate(body, 'values')
    return { arrays, operation: checkRowsMembers(members).op }
  }
  if (op === undefined)
    return refuse('INVALID_REQUEST', '?op=set or ?op=add is needed', {
      errors: [{ pointer: '/op', detail: 'is required' }],
    })
  return { arrays: readNamedArrays(format, body, 'values'), operation: op }
}

/** Makes the body of the answer to an update. */
export const answerUpdate = (
  table: string,
  { version, sequence, rowsUpdated, durability, replayed }: UpdateResult,
) => ({
  table,
  version,
  sequence,
  rows_updated: rowsUpdated,
  durability,
  replayed,
})

/**
 * Per-thread scratch for JSON values, reused to avoid garbage: they are copied to the writer's memory before
 * the next body is read.
 */
let kept = new Float32Array(0)

const keepValues: KeepSingles = (values) => {
  if (kept.length < values.length) kept = new Float32Array(values.length)
  kept.set(values)
  return kept.subarray(0, values.length)
}

/**
 * Reads the arrays of a JSON update, valid until the next one is read, and its other members, still
 * unchecked.
 */
const readJsonUpdate = (
  body: Buffer,
  valuesName: ValuesName,
): { arrays: UpdateArrays; members: Record<string, unknown> } => {
  const { members, tensors } = readJsonObject(body, ['indices', valuesName], {
    singles: [valuesName],
    keepSingles: keepValues,
  })
  const indices = tensors.get('indices') ?? refuseMissing('indices')
  const values = tensors.get(valuesName) ?? refuseMissing(valuesName)
  for (const [name, tensor] of [
    ['indices', indices],
    [valuesName, values],
  ] as const) {
    if (tensor.lengths === undefined) continue
    refuse('SHAPE_MISMATCH', `${name} are ragged`, {
      errors: [{ pointer: `/${name}`, detail: 'rows must have equal lengths' }],
    })
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

/** Reads the arrays of an update as views of the body, where their alignment allows it. */
const readNamedArrays = (format: FormatName, body: Buffer, valuesName: ValuesName): UpdateArrays => {
  const tensors = findNamedArrays(format).read(body)
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
  refuse('INVALID_REQUEST', `${name} are missing`, {
    errors: [{ pointer: `/${name}`, detail: 'is required' }],
  })
