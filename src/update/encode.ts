import type { UpdateResult } from '../writer/protocol.ts'

/** The body of the answer to an update, by the names of the contract. */
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
