/** The schemas of single values, which several routes share. */
import { type TProperties, Type } from 'typebox'
import { LIMITS } from '../../core/limits.ts'

/** The form of table and alias names. */
export const TABLE_NAME_PATTERN = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,${LIMITS.tableNameLengthMax - 1}}$`

export const TableName = Type.String({
  pattern: TABLE_NAME_PATTERN,
  description: 'Name of a table',
  examples: ['words'],
})

/**
 * A choice among words. TypeBox leaves the type out of an enum, but readers of the OpenAPI document need it.
 */
export const Choice = <const Words extends string[]>(
  words: [...Words],
  options: { title?: string; description?: string; default?: Words[number] } = {},
) => Type.Enum(words, { type: 'string', ...options })

export const Dtype = Choice(['float32', 'float16', 'bfloat16', 'int8'], {
  title: 'Dtype',
  description: 'How values are stored',
  default: 'float32',
})

export const ElementType = Choice(
  [
    'float64',
    'float32',
    'float16',
    'bfloat16',
    'int8',
    'int16',
    'int32',
    'int64',
    'uint8',
    'uint16',
    'uint32',
    'uint64',
    'int8_rows',
  ],
  {
    title: 'ElementType',
    description:
      'Type of the numbers in an octet-stream body. int8_rows: rows as int8 tables, FBGEMM and torchrec keep ' +
      'them, dim bytes, float32 scale, float32 bias; also for uint8 [rows, dim + 8] in npy and safetensors',
    default: 'float32',
  },
)

export const IndexDtype = Choice(['int32', 'int64', 'uint32', 'uint64'], {
  title: 'IndexDtype',
  description: 'Type of the ids in an octet-stream body',
  default: 'int32',
})

export const Mode = Choice(['error', 'fill', 'clip', 'wrap', 'clamp'], {
  title: 'Mode',
  description:
    'The result for an id outside 0..rows-1. error: 422. fill: -rows..-1 count from the end, any other ' +
    'id gives a row of fill_value (jnp.take). ' +
    'clip: the nearest row; negative ids give row 0. wrap: id mod rows. clamp: -rows..-1 count from the ' +
    'end, then the nearest row (A[x] in JAX)',
})

export const Pooling = Choice(['none', 'sum', 'mean', 'max', 'sqrtn'], {
  title: 'Pooling',
  description:
    'How the rows of a bag are combined. A bag is a list of indices, or the flat indices between two ' +
    'offsets. An empty bag gives zeros. With weights w, ' +
    'mean is sum(w e) / sum(w) and sqrtn is sum(w e) / sqrt(sum(w w)); max takes no weights',
  default: 'none',
})

export const AnswerDtype = Choice(['float32', 'float16', 'bfloat16', 'native'], {
  title: 'AnswerDtype',
  description:
    'Type of the numbers in the answer; native is the type that the table stores. Rows of int8 tables ' +
    'are then bytes, of which a number is byte * scale + bias: in safetensors ' +
    'uint8 embeddings with scale and bias of the shape of the ids; in octet-stream the dim bytes, ' +
    'float32 scale and float32 bias of each row; JSON and npy cannot carry them',
  default: 'float32',
})

export const Durability = Choice(['disk', 'os', 'none'], {
  title: 'Durability',
  description:
    'What an acknowledged update survives. disk: a power cut. os: a crash of the process. none: neither',
  default: 'disk',
})

export const FillValue = Type.Union([Type.Number(), Type.Null()], {
  description: 'The value of rows that mode fill returns for unknown ids; null is NaN',
})

export const PaddingIndex = Type.Union(
  [Type.Integer({ minimum: -LIMITS.tableRowsMax, maximum: LIMITS.tableRowsMax - 1 }), Type.Null()],
  {
    description:
      'A row that bags leave out and gradients never change; a negative number counts from the end. One ' +
      'that names no row is refused',
  },
)

export const Rows = Type.Integer({ minimum: 0, maximum: LIMITS.tableRowsMax, description: 'Number of rows' })
export const Dim = Type.Integer({ minimum: 1, maximum: LIMITS.dimMax, description: 'Numbers in a row' })

/** The version that a lookup reads. */
export const Version = Type.Integer({
  minimum: 1,
  description: 'Reads this version instead of the current one',
})

/** An object that the OpenAPI document lists under `title`, as everything with a title. */
export const NamedObject = <Properties extends TProperties>(title: string, properties: Properties) =>
  Type.Object(properties, { title })

/** The title of one kind of a union: `TruncatedNormalInitializer` for `truncated_normal`. */
export const titleOf = (kind: string, union: string): string =>
  `${kind.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase())}${union}`

/** Options of an object that allows no other members. */
export const CLOSED = { additionalProperties: false } as const

/**
 * Numbers (or booleans) nested as deep as the array has dimensions. The JSON reader checks them, not this
 * schema.
 */
export const nested = (type: 'number' | 'integer' | 'boolean', description: string, examples?: unknown[]) =>
  Type.Unsafe<unknown>({
    description,
    anyOf: [{ type }, { type: 'array', items: {} }],
    ...(examples && { examples }),
  })

/** A binary body in the OpenAPI document. */
export const BinaryAnswer = Type.Unsafe<unknown>({
  type: 'string',
  format: 'binary',
  description: 'Numbers in the requested format',
})

/** A response without a body in the OpenAPI document. */
export const emptyAnswer = (description: string) => Type.Unsafe<unknown>({ type: 'null', description })

/** A member of answers to changes that is only there when it is true. */
export const Replayed = Type.Optional(
  Type.Boolean({
    description: 'true: the first result of this Idempotency-Key, and nothing was changed; absent otherwise',
  }),
)
