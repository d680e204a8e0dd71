/** The schemas of attend requests and their answers. */
import { type Static, Type } from 'typebox'
import { Choice, CLOSED, nested, TableName, Version, NamedObject } from './scalars.ts'

const options = {
  top_k: Type.Optional(
    Type.Integer({
      minimum: 1,
      description:
        'Number of best rows for each query; a number above rows gives all of them but the padding row. ' +
        'Without it, the answer has the score of every row',
    }),
  ),
  metric: Type.Optional(
    Choice(['dot', 'cosine', 'l2'], {
      description:
        'The score that top_k ranks by: the largest dot product, the largest cosine (0 for a row of ' +
        'zeros), or the smallest Euclidean distance',
      default: 'dot',
    }),
  ),
  version: Type.Optional(Version),
}

/** Members that hold arrays of numbers, which the JSON reader extracts before the schema checks the rest. */
export const ATTEND_TENSORS = ['queries'] as const

/** The JSON members beside the queries. */
export const AttendMembers = Type.Object(options, CLOSED)

/** The query parameters of a safetensors body, which have the names of the JSON members. */
export const AttendQuery = AttendMembers
export type AttendQueryInput = Static<typeof AttendQuery>

/** The JSON body as the OpenAPI document shows it. */
export const AttendBody = Type.Object(
  {
    queries: nested('number', 'One query, or lists of them nested to any depth: numbers of shape S + [dim]'),
    ...options,
  },
  {
    ...CLOSED,
    title: 'AttendRequest',
    examples: [{ queries: [0.1, 0.2, 0.3], top_k: 2, metric: 'cosine' }, { queries: [[0.1, 0.2, 0.3]] }],
  },
)

export const AttendAnswer = NamedObject('AttendAnswer', {
  table: TableName,
  version: Type.Integer(),
  sequence: Type.Integer(),
  shape: Type.Array(Type.Integer(), {
    description:
      'Shape of the queries without dim, then the number of rows, or with top_k the number of rows found',
  }),
  logits: Type.Optional(nested('number', 'Without top_k: the score of every row')),
  indices: Type.Optional(
    nested('integer', 'With top_k: the rows found, best first; of equal scores the lower index first'),
  ),
  scores: Type.Optional(nested('number', 'With top_k: their dot products, cosines or distances')),
})
