/** The schemas of lookups and their answers. */
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
  NamedObject,
} from './scalars.ts'

const options = {
  mode: Type.Optional(Mode),
  fill_value: Type.Optional(FillValue),
  pooling: Type.Optional(Pooling),
  include_last_offset: Type.Optional(
    Type.Boolean({
      description:
        'Whether the last offset is the number of indices: it ends the last bag and begins none. Only with ' +
        'offsets',
    }),
  ),
  padding_index: Type.Optional(PaddingIndex),
  mask: Type.Optional(
    Type.Boolean({ description: 'Whether the answer says which ids named a row; padding counts as none' }),
  ),
  dtype: Type.Optional(AnswerDtype),
  version: Type.Optional(Version),
}

/** Members of a lookup that hold arrays of numbers, which the JSON reader extracts. */
export const LOOKUP_TENSORS = ['indices', 'offsets', 'weights'] as const

/** The JSON members of a lookup beside its arrays. */
export const LookupMembers = Type.Object(options, CLOSED)

/** One of several lookups, which names its table in a member. */
export const NamedLookupMembers = Type.Object({ table: TableName, ...options }, CLOSED)

/** The query parameters of a binary lookup: the options, and the facts that a binary body lacks. */
export const LookupQuery = Type.Object(
  {
    ...options,
    shape: Type.Optional(
      Type.String({
        description: 'Shape of the ids in an octet-stream body; without it they are flat',
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

/** The query parameters of several binary lookups: options that apply to all of them. */
export type MultiLookupQueryInput = Static<typeof MultiLookupQuery>
export const MultiLookupQuery = LookupMembers

const tensors = {
  indices: nested('integer', 'The ids: one, or lists nested to any depth', [[3, 1]]),
  offsets: Type.Optional(
    nested('integer', 'Where each bag begins in flat indices: ascending from 0', [[0, 2, 5]]),
  ),
  weights: Type.Optional(nested('number', 'A weight for each id of a bag, nested like the indices or flat')),
}

/** The JSON body of a lookup as the OpenAPI document shows it. */
export const LookupBody = Type.Object(
  { ...tensors, ...options },
  {
    ...CLOSED,
    title: 'LookupRequest',
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

export const LookupAnswer = NamedObject('LookupAnswer', {
  table: TableName,
  version: Type.Integer(),
  sequence: Type.Integer(),
  shape: Type.Array(Type.Integer(), { description: 'Shape of the indices, then dim; pooled: bags, dim' }),
  dtype: Type.String(),
  embeddings: nested('number', 'The rows, nested by shape; NaN and infinity print as null'),
  mask: Type.Optional(nested('boolean', 'Whether each id named a row, nested like the indices')),
})

const NamedLookup = Type.Object(
  { table: TableName, ...tensors, ...options },
  { ...CLOSED, title: 'NamedLookup' },
)

/** The JSON body of several lookups as the OpenAPI document shows it. */
export const MultiLookupBody = Type.Object(
  {
    lookups: Type.Array(NamedLookup, {
      minItems: 1,
      maxItems: LIMITS.lookupTableCountMax,
    }),
  },
  {
    ...CLOSED,
    title: 'MultiLookupRequest',
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

export const MultiLookupAnswer = NamedObject('MultiLookupAnswer', { results: Type.Array(LookupAnswer) })
