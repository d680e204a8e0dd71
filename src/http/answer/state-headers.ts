import { entityTag } from '../../tables/precondition.ts'

type StateHeaders = Readonly<Record<'etag' | 'x-table-version' | 'x-table-sequence', string>>

const makeHeaders = (version: number, sequence: number): StateHeaders => ({
  etag: `"${entityTag(version, sequence)}"`,
  'x-table-version': String(version),
  'x-table-sequence': String(sequence),
})

/** Between two updates every answer about a table has the same ones. */
let latest = { version: 0, sequence: 0, headers: makeHeaders(0, 0) }

/** The headers of every lookup, export, update and table description: which state of the table the answer is about. */
export const stateHeaders = (version: number, sequence: number): StateHeaders => {
  if (latest.version !== version || latest.sequence !== sequence)
    latest = { version, sequence, headers: makeHeaders(version, sequence) }
  return latest.headers
}
