import { entityTag } from '../tables/precondition.ts'

/** The headers of every lookup, export, update and table description: which state of the table the answer is about. */
export const stateHeaders = (version: number, sequence: number): Record<string, string> => ({
  etag: `"${entityTag(version, sequence)}"`,
  'x-table-version': String(version),
  'x-table-sequence': String(sequence),
})
