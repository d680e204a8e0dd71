/** The schemas of tables: their description, specification, upload and listing. */
import { Type } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import type { TableInfo } from '../../core/types.ts'
import { EXAMPLE_OPTIMIZER } from '../../optimizers/complete.ts'
import { OptimizerInput } from './optimizer.ts'
import {
  Choice,
  CLOSED,
  Dim,
  Dtype,
  Durability,
  ElementType,
  FillValue,
  Mode,
  nested,
  PaddingIndex,
  Replayed,
  Rows,
  TableName,
  titleOf,
  NamedObject,
} from './scalars.ts'
import { settingsMembers, settingsQuery } from './settings.ts'

/** The description of a table. */
export const TableInfoSchema = Type.Object(
  {
    name: TableName,
    version: Type.Integer({
      description: 'Each replacement of the data takes the highest that the name ever had, plus one',
    }),
    sequence: Type.Integer({
      description:
        'Raised by one for each update of this version; further after a crash that took updates back',
    }),
    rows: Rows,
    dim: Dim,
    dtype: Dtype,
    bytes: Type.Integer({ description: 'Bytes of all rows' }),
    held_versions: Type.Optional(
      Type.Array(Type.Object({ version: Type.Integer(), aliases: Type.Array(TableName) }), {
        description: 'The versions that aliases name, which stay beyond keep_versions; absent without any',
      }),
    ),
    replayed: Replayed,
    out_of_range: Mode,
    fill_value: FillValue,
    padding_index: PaddingIndex,
    optimizer: OptimizerInput,
    durability: Durability,
    keep_versions: Type.Integer(),
    created_at: Type.String({ format: 'date-time' }),
    updated_at: Type.String({ format: 'date-time' }),
  },
  { $id: 'TableInfo', description: 'A table: its current data and its settings' },
)

/** A typed reference to the schema above. */
export const TableInfoRef = Type.Unsafe<TableInfo & { replayed?: boolean }>({ $ref: 'TableInfo#' })

export const TableParams = Type.Object({ table: TableName }, CLOSED)

export const NoQuery = Type.Object({}, CLOSED)

export const DataQuery = Type.Object(
  {
    version: Type.Optional(
      Type.Integer({ minimum: 1, description: 'A version that is kept; default: the current one' }),
    ),
    include: Type.Optional(
      Choice(['optimizer'], {
        description:
          'optimizer: adds the state of the optimizer, from which training resumes; safetensors only',
      }),
    ),
  },
  CLOSED,
)

export const TablesQuery = Type.Object(
  {
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.tablesPageMax, default: 100 })),
    cursor: Type.Optional(Type.String({ description: '`next` of the page before', maxLength: 256 })),
  },
  CLOSED,
)

export const TablesAnswer = NamedObject('TableList', {
  tables: Type.Array(TableInfoRef),
  next: Type.Union([Type.String(), Type.Null()], {
    description: 'Cursor of the next page; null: this is the last',
  }),
})

const Seed = Type.Optional(
  Type.Integer({
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description: 'The same seed gives the same table on every machine; without one it is chosen at random',
  }),
)
const moments = {
  mean: Type.Optional(Type.Number({ default: 0 })),
  stddev: Type.Optional(Type.Number({ minimum: 0 })),
  seed: Seed,
}

const initializer = (kind: string) => ({ ...CLOSED, title: titleOf(kind, 'Initializer') })

export const InitializerSchema = Type.Union(
  [
    Type.Object({ kind: Type.Literal('zeros') }, initializer('zeros')),
    Type.Object({ kind: Type.Literal('constant'), value: Type.Number() }, initializer('constant')),
    Type.Object(
      {
        kind: Type.Literal('uniform'),
        min: Type.Optional(Type.Number({ default: -0.05 })),
        max: Type.Optional(Type.Number({ default: 0.05 })),
        seed: Seed,
      },
      initializer('uniform'),
    ),
    Type.Object({ kind: Type.Literal('normal'), ...moments }, initializer('normal')),
    Type.Object({ kind: Type.Literal('truncated_normal'), ...moments }, initializer('truncated_normal')),
    Type.Object(
      {
        kind: Type.Literal('variance_scaling'),
        scale: Type.Optional(Type.Number({ exclusiveMinimum: 0, default: 1 })),
        mode: Type.Optional(
          Choice(['fan_in', 'fan_out', 'fan_avg'], {
            description: 'fan_in is dim, fan_out is rows (as in flax)',
          }),
        ),
        distribution: Type.Optional(Choice(['normal', 'truncated_normal', 'uniform'])),
        seed: Seed,
      },
      initializer('variance_scaling'),
    ),
  ],
  {
    title: 'Initializer',
    // A default would say so too, but openapi-python-client drops schemas with an object as their default.
    description: 'The initial rows; zeros without an initializer',
  },
)

/** Members of a specification beside `values`, which the JSON reader extracts. */
export const SpecificationMembers = Type.Object(
  {
    rows: Type.Optional(Rows),
    dim: Type.Optional(Dim),
    dtype: Type.Optional(Dtype),
    initializer: Type.Optional(InitializerSchema),
    ...settingsMembers,
  },
  CLOSED,
)

/** A specification as the OpenAPI document shows it. */
export const SpecificationBody = Type.Object(
  {
    ...SpecificationMembers.properties,
    values: Type.Optional(
      nested('number', 'The data itself, in place of rows, dim and initializer', [
        [
          [1, 2],
          [3, 4],
        ],
      ]),
    ),
  },
  {
    ...CLOSED,
    title: 'TableSpecification',
    examples: [
      {
        values: [
          [0.1, 0.2, 0.3],
          [0.4, 0.5, 0.6],
          [0.7, 0.8, 0.9],
          [1, 1.1, 1.2],
        ],
        optimizer: EXAMPLE_OPTIMIZER,
      },
      {
        rows: 1000,
        dim: 3,
        dtype: 'float16',
        initializer: { kind: 'normal', seed: 1 },
        out_of_range: 'clip',
      },
    ],
  },
)

/** The query parameters of an upload. A JSON specification takes none of them. */
export const UploadQuery = Type.Object(
  {
    dtype: Type.Optional(Dtype),
    rows: Type.Optional(Rows),
    dim: Type.Optional(Dim),
    input_dtype: Type.Optional(ElementType),
    tensor: Type.Optional(
      Type.String({
        description: 'The array to store, when a safetensors body holds several',
        maxLength: 512,
      }),
    ),
    allow_non_finite: Type.Optional(
      Type.Boolean({ description: 'Stores NaN and infinity as they are instead of refusing them' }),
    ),
    ...settingsQuery,
  },
  CLOSED,
)

export const RowsQuery = Type.Object(
  {
    offset: Type.Optional(Type.Integer({ minimum: 0, maximum: LIMITS.tableRowsMax, default: 0 })),
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.rowsPageMax, default: 10 })),
  },
  CLOSED,
)

export const RowsAnswer = NamedObject('RowList', {
  rows: Type.Array(
    NamedObject('Row', {
      index: Type.Integer(),
      embedding: Type.Array(Type.Union([Type.Number(), Type.Null()])),
    }),
  ),
})
