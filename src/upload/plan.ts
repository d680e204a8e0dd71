/**
 * Plans an upload: the place of the rows in the body, and the type in which they are stored. Everything that
 * header and query alone can show is refused here, before memory is reserved.
 */
import { refuse } from '../core/errors.ts'
import { suggestName } from '../core/suggest-name.ts'
import { ELEMENT_BYTES } from '../core/types.ts'
import { listNames, quoteText } from '../formats/scanner.ts'
import type { ArrayPlace, LocatedArrays } from '../formats/shape.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { STATE_PREFIX } from '../optimizers/state-tensors.ts'
import { checkTableShape } from './build.ts'
import { finishPlan, type UploadOptions, type UploadPlan } from './finish-plan.ts'
import { planStoredArrays, planStoredRows } from './plan-stored.ts'

/**
 * Plans bare numbers. With `dtype=int8`, a body of whose length only stored rows can be is read as those,
 * because this is what an export of the table gives. Refuses INVALID_REQUEST without rows and dim, and as
 * {@link planArray}.
 */
export const planRaw = (options: UploadOptions): UploadPlan => {
  const { rows, dim, dtype, contentLength, inputType = 'float32' } = options
  if (rows === undefined || dim === undefined) {
    return refuse(
      'INVALID_REQUEST',
      'raw numbers do not say their shape: give ?rows= and ?dim= (and ?input_dtype= unless float32)',
    )
  }
  checkTableShape(rows, dim)
  const storedBytes = rows * rowBytes(dim, 'int8')
  if (inputType === 'int8_rows' || (dtype === 'int8' && contentLength === storedBytes)) {
    const shape = [rows, rowBytes(dim, 'int8')]
    return planStoredRows({ begin: 0, end: storedBytes, elementType: 'uint8', shape }, storedBytes, options)
  }
  const bytes = rows * dim * ELEMENT_BYTES[inputType]
  return finishPlan(options, inputType, [rows, dim], { dataBegin: 0, dataEnd: bytes, bodyBytes: bytes })
}

/**
 * Plans one array. Refuses SHAPE_MISMATCH unless it is a table, DTYPE_MISMATCH for numbers that no table
 * stores unless the options name a dtype, MALFORMED_BODY when the announced length differs, and
 * INVALID_REQUEST for options of other formats.
 */
export const planArray = (
  { array, bodyBytes }: { array: ArrayPlace; bodyBytes: number },
  options: UploadOptions,
): UploadPlan => {
  if (options.inputType === 'int8_rows') return planStoredRows(array, bodyBytes, options)
  const { elementType, shape, begin, end, isColumnOrder, isBigEndian } = array
  const place = { dataBegin: begin, dataEnd: end, bodyBytes }
  const plan = finishPlan(options, elementType, shape, place)
  if (isColumnOrder === true && plan.dtype === 'int8') {
    refuse(
      'DTYPE_MISMATCH',
      'dtype=int8 needs whole rows, and the array is in column order (fortran_order): ' +
        'send np.ascontiguousarray(array), or another dtype',
    )
  }
  return { ...plan, isColumnOrder, isBigEndian }
}

/**
 * Plans one of several arrays. Refuses as {@link planArray}, and with INVALID_REQUEST, which lists the names,
 * when the options do not decide on one. Arrays of optimizer state become tables only by name.
 */
export const planNamedArray = (located: LocatedArrays, options: UploadOptions): UploadPlan => {
  const stored = planStoredArrays(located, options)
  if (stored !== undefined) return stored
  const { arrays, unread, bodyBytes } = located
  const name = options.tensor ?? chooseArray(located)
  unread.get(name)?.refuse()
  const array = arrays.get(name) ?? refuseName(name, [...arrays.keys(), ...unread.keys()])
  return planArray({ array, bodyBytes }, options)
}

const refuseName = (name: string, names: readonly string[]): never =>
  refuse(
    'INVALID_REQUEST',
    `the body has no array ${quoteText(name)}; it has ${listNames(names)}${suggestName(name, names) || '.'} ` +
      'Of a checkpoint in shards, model.safetensors.index.json says which file has it',
  )

/**
 * Chooses the only array of two dimensions. One without rows is chosen only if there is no other. An array
 * that is not read here counts, because it may be the one that is meant.
 */
const chooseArray = ({ arrays, unread }: LocatedArrays): string => {
  const matrices = [...arrays]
    .filter(([name, { shape }]) => shape.length === 2 && !name.startsWith(STATE_PREFIX))
    .map(([name, { shape }]) => ({ name, isEmpty: shape.includes(0) }))
  const others = [...unread]
    .filter(([name, { rank }]) => rank === 2 && !name.startsWith(STATE_PREFIX))
    .map(([name]) => ({ name, isEmpty: false }))
  const all = [...matrices, ...others]
  const full = all.filter(({ isEmpty }) => !isEmpty)
  const names = (full.length > 0 ? full : all).map(({ name }) => name)
  if (names.length === 1) return names[0]
  if (names.length > 1)
    return refuse(
      'INVALID_REQUEST',
      `the body has several arrays of two dimensions: give ?tensor= one of ${listNames(names)}`,
    )
  return refuse(
    'SHAPE_MISMATCH',
    'a table has two dimensions; of the arrays in the body none has: ' +
      listNames([...arrays.keys(), ...unread.keys()]),
  )
}
