/**
 * The AssemblyScript files that `build.ts` generates from TypeScript constants, so that each code and offset
 * is defined only once. The kernels import them by the names below; they never exist on disk.
 */
import {
  ELEMENT_CODES,
  METRIC_CODES,
  NORM_CODES,
  OPERATION_CODES,
  SAFE_LENGTH_MIN,
  SOURCE_CODES,
  TOUCH_BYTES_MAX,
  TOUCH_ROWS,
} from '../codes.ts'
import { PARSE_OFFSETS, PARSE_POWERS } from '../parse-tables.ts'
import { PRINT_OFFSETS, PRINT_POINTS } from '../print-tables.ts'

type Integers = Readonly<Record<string, number>>

const capitalise = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1)

const declareEnum = (name: string, codes: Integers): string => {
  const members = Object.entries(codes).map(([member, code]) => `${capitalise(member)} = ${code}`)
  return `export const enum ${name} { ${members.join(', ')} }\n`
}

const declareConstants = (type: 'usize' | 'i32' | 'f32', values: Readonly<Record<string, number>>): string =>
  Object.entries(values)
    .map(([name, value]) => `export const ${name}: ${type} = ${value}\n`)
    .join('')

/** The text of the generated files, by the name under which a kernel imports them. */
export const SHARED_SOURCES: Readonly<Record<string, string>> = {
  'codes.as.ts': [
    declareEnum('Element', ELEMENT_CODES),
    declareEnum('Source', SOURCE_CODES),
    declareEnum('Metric', METRIC_CODES),
    declareEnum('Operation', OPERATION_CODES),
    declareEnum('Norm', NORM_CODES),
    declareConstants('i32', { TOUCH_ROWS, TOUCH_BYTES_MAX }),
    declareConstants('f32', { SAFE_LENGTH_MIN }),
  ].join(''),
  'parse-tables.as.ts': declareConstants('usize', PARSE_OFFSETS) + declareConstants('i32', PARSE_POWERS),
  'print-tables.as.ts': declareConstants('usize', PRINT_OFFSETS) + declareConstants('i32', PRINT_POINTS),
}
