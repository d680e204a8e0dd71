import { Type } from 'typebox'
import { CLOSED, TableName } from './scalars.ts'

/** The query of PUT. */
export const LoraQuery = Type.Object(
  {
    alpha: Type.Optional(
      Type.Number({ description: 'Rows get alpha / r times A . B; when the body has no array `alpha`' }),
    ),
  },
  CLOSED,
)

/** An adapter as a description. */
export const LoraAnswer = Type.Object({
  table: TableName,
  version: Type.Integer({ description: 'Of the table; the adapter is of this version' }),
  sequence: Type.Integer({
    description: 'Committed updates of that version; to attach and to delete an adapter is one each',
  }),
  lora: Type.Union(
    [
      Type.Object({
        rank: Type.Integer({ description: 'r: columns of `a`, rows of `b`' }),
        alpha: Type.Number(),
        dtype: Type.String({ description: 'How `a` is stored; `b` is float32' }),
        bytes: Type.Integer({ description: 'Bytes of both' }),
        attached_at: Type.String({ format: 'date-time' }),
      }),
      Type.Null(),
    ],
    { description: 'null: there is none' },
  ),
})
