import { type Static, Type } from 'typebox'
import { Choice, CLOSED, nested, TableName, Version } from './scalars.ts'

const options = {
  top_k: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        'Only the best so many rows of each query; more than there are gives all. ' +
        'Without it: the dot products with all rows',
    }),
  ),
  metric: Type.Optional(
    Choice(['dot', 'cosine', 'l2'], {
      description:
        'What top_k goes by: largest dot product, largest cosine (0 for a row of zeros), ' +
        'or smallest Euclidean distance',
      default: 'dot',
    }),
  ),
  version: Type.Optional(Version),
}

/** The members that are arrays of numbers. The JSON reader reads them apart from the others. */
export const ATTEND_TENSORS = ['queries'] as const

/** JSON members beside the queries. */
export const AttendMembers = Type.Object(options, CLOSED)

/** The query of a safetensors body: the same by the same names. */
export const AttendQuery = AttendMembers
export type AttendQueryInput = Static<typeof AttendQuery>

/** A request as the document shows it. */
export const AttendBody = Type.Object(
  {
    queries: nested('number', 'One query, or lists of them nested to any depth: numbers of shape S + [dim]'),
    ...options,
  },
  {
    ...CLOSED,
    examples: [{ queries: [0.1, 0.2, 0.3], top_k: 2, metric: 'cosine' }, { queries: [[0.1, 0.2, 0.3]] }],
  },
)

export const AttendAnswer = Type.Object({
  table: TableName,
  version: Type.Integer(),
  sequence: Type.Integer(),
  shape: Type.Array(Type.Integer(), {
    description: 'Shape of the queries without dim, then the number of rows, or with top_k of rows found',
  }),
  logits: Type.Optional(nested('number', 'Without top_k: the score of every row')),
  indices: Type.Optional(
    nested('integer', 'With top_k: the rows found, best first; of equal ones the lower index first'),
  ),
  scores: Type.Optional(nested('number', 'With top_k: their dot products, cosines or distances')),
})
