/** The schemas of updates and their answers. */
import { Type } from 'typebox'
import { Choice, CLOSED, Durability, nested, TableName, NamedObject } from './scalars.ts'

const learningRate = {
  learning_rate: Type.Optional(
    Type.Number({ minimum: 0, description: "Replaces the optimizer's learning rate in this update" }),
  ),
}
const Operation = Choice(['set', 'add'], {
  description:
    'set: the last of equal indices wins. add: the values of equal indices are all added, in order',
})
const operation = { op: Operation }

/** The JSON members beside the arrays. */
export const GradientsMembers = Type.Object(learningRate, CLOSED)
export const RowsMembers = Type.Object(operation, CLOSED)

/** The same as query parameters of a safetensors body, which requires `op`. */
export const GradientsQuery = Type.Object(learningRate, CLOSED)
export const RowsUpdateQuery = Type.Object({ op: Type.Optional(Operation) }, CLOSED)

const indices = nested('integer', 'The rows to update; any shape S')

export const GradientsBody = Type.Object(
  { indices, gradients: nested('number', 'Numbers of shape S + [dim]'), ...learningRate },
  {
    ...CLOSED,
    title: 'GradientsRequest',
    examples: [
      {
        indices: [0, 1],
        gradients: [
          [0.1, 0.2, 0.3],
          [0.3, 0.2, 0.1],
        ],
        learning_rate: 0.1,
      },
    ],
  },
)

export const RowsUpdateBody = Type.Object(
  { ...operation, indices, values: nested('number', 'Numbers of shape S + [dim]') },
  { ...CLOSED, title: 'RowsUpdateRequest', examples: [{ op: 'set', indices: [0], values: [[1, 2, 3]] }] },
)

export const UpdateAnswer = NamedObject('UpdateAnswer', {
  table: TableName,
  version: Type.Integer(),
  sequence: Type.Integer({
    description: 'The sequence after this update; unchanged when there were no indices',
  }),
  rows_updated: Type.Integer({ description: 'Number of distinct rows' }),
  durability: Durability,
  replayed: Type.Boolean({
    description: 'Whether this is the stored answer to an earlier request with the same key',
  }),
})
