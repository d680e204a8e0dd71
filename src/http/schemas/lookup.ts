import { type Static, Type } from 'typebox'
import { LIMITS } from '../../core/limits.ts'
import {
  AnswerDtype,
  CLOSED,
  FillValue,
  IndexDtype,
  Mode,
  nested,
  PaddingIndex,
  Pooling,
  TableName,
  Version,
} from './scalars.ts'

const options = {
  mode: Type.Optional(Mode),
  fill_value: Type.Optional(FillValue),
  pooling: Type.Optional(Pooling),
  include_last_offset: Type.Optional(
    Type.Boolean({ description: 'Whether the last offset only ends the last bag: the count of indices' }),
  ),
  padding_index: Type.Optional(PaddingIndex),
  mask: Type.Optional(
    Type.Boolean({ description: 'Also answer which ids named a row, padding not counted' }),
  ),
  dtype: Type.Optional(AnswerDtype),
  version: Type.Optional(Version),
}

/** The members that are arrays of numbers. The JSON reader reads them apart from the others. */
export const LOOKUP_TENSORS = ['indices', 'offsets', 'weights'] as const

/** A lookup's JSON members beside its tensors. */
export const LookupMembers = Type.Object(options, CLOSED)
export type LookupMembersInput = Static<typeof LookupMembers>

/** One of several lookups: the table is a member. */
export const NamedLookupMembers = Type.Object({ table: TableName, ...options }, CLOSED)

/** The query of a binary lookup: the same options, and the facts that the body does not carry itself. */
export const LookupQuery = Type.Object(
  {
    ...options,
    shape: Type.Optional(
      Type.String({
        description: 'Shape of the ids in an octet-stream body; flat without it',
        examples: ['2,3'],
      }),
    ),
    index_dtype: Type.Optional(IndexDtype),
    offsets: Type.Optional(
      Type.String({
        description: 'Where each bag begins in flat ids of an octet-stream or npy body',
        examples: ['0,2,5'],
      }),
    ),
    weights: Type.Optional(
      Type.String({
        description: 'A weight for each id of an octet-stream or npy body',
        examples: ['0.5,1,2'],
      }),
    ),
  },
  CLOSED,
)
export type LookupQueryInput = Static<typeof LookupQuery>

/** The query of several binary lookups: options that are the same for all of them. */
export type MultiLookupQueryInput = Static<typeof MultiLookupQuery>
export const MultiLookupQuery = LookupMembers

const tensors = {
  indices: nested('integer', 'The ids: one, or lists nested to any depth', [[3, 1]]),
  offsets: Type.Optional(
    nested('integer', 'Where each bag begins in flat indices: ascending from 0', [[0, 2, 5]]),
  ),
  weights: Type.Optional(nested('number', 'A weight for each id of a bag, nested like the indices or flat')),
}

/** A lookup as the document shows it. */
export const LookupBody = Type.Object(
  { ...tensors, ...options },
  {
    ...CLOSED,
    examples: [
      { indices: [3, 1] },
      {
        indices: [
          [3, 1],
          [2, -1],
        ],
        mode: 'wrap',
      },
      { indices: 999999, mode: 'fill', fill_value: 0, mask: true },
      { indices: [[3, 1], [2]], pooling: 'mean' },
      { indices: [3, 1, 2], offsets: [0, 2], weights: [0.5, 2, 1], pooling: 'sum' },
    ],
  },
)

export const LookupAnswer = Type.Object({
  table: TableName,
  version: Type.Integer(),
  sequence: Type.Integer(),
  shape: Type.Array(Type.Integer(), { description: 'Shape of the indices, then dim; pooled: bags, dim' }),
  dtype: Type.String(),
  embeddings: nested('number', 'The rows, nested by shape; NaN and infinity print as null'),
  mask: Type.Optional(nested('boolean', 'Where the id named a row, nested as the indices')),
})

/** Several lookups in one request, as the document shows them. */
export const MultiLookupBody = Type.Object(
  {
    lookups: Type.Array(Type.Object({ table: TableName, ...tensors, ...options }, CLOSED), {
      minItems: 1,
      maxItems: LIMITS.lookupTableCountMax,
    }),
  },
  {
    ...CLOSED,
    examples: [
      {
        lookups: [
          { table: 'words', indices: [3, 1] },
          { table: 'words', indices: 0 },
        ],
      },
    ],
  },
)

export const MultiLookupAnswer = Type.Object({ results: Type.Array(LookupAnswer) })
