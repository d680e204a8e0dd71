/** The schemas of LoRA adapters. */
import { Type } from 'typebox'
import { CLOSED, NamedObject, Replayed, TableName } from './scalars.ts'

/** The query parameters of PUT. */
export const LoraQuery = Type.Object(
  {
    alpha: Type.Optional(
      Type.Number({
        description: 'Rows get alpha / r times A . B; needed when the body has no array `alpha`',
      }),
    ),
  },
  CLOSED,
)

/** The description of an adapter. */
export const LoraAnswer = NamedObject('Lora', {
  table: TableName,
  version: Type.Integer({ description: 'The version of the table that the adapter belongs to' }),
  sequence: Type.Integer({
    description: 'Committed updates of that version; attaching and deleting an adapter count as one each',
  }),
  lora: Type.Union(
    [
      NamedObject('LoraAdapter', {
        rank: Type.Integer({ description: 'r: columns of `a`, rows of `b`' }),
        alpha: Type.Number(),
        dtype: Type.String({ description: 'How `a` is stored; `b` is float32' }),
        bytes: Type.Integer({ description: 'Bytes of `a` and `b` together' }),
        attached_at: Type.String({ format: 'date-time' }),
      }),
      Type.Null(),
    ],
    { description: 'null when the table has no adapter' },
  ),
  replayed: Replayed,
})
