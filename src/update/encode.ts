/** Encodes the answer to an update. */
import type { UpdateResult } from '../writer/protocol.ts'

/** Makes the body of the answer to an update, under the names of the HTTP contract. */
export const answerUpdate = (
  table: string,
  { version, sequence, rowsUpdated, durability, replayed }: UpdateResult,
) => ({
  table,
  version,
  sequence,
  rows_updated: rowsUpdated,
  durability,
  replayed,
})
