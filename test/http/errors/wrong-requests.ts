/** Joins the lists of wrong requests that request-errors.test.ts sends. */
import { WRONG_LOOKUPS } from './wrong-lookups.ts'
import { WRONG_TABLES } from './wrong-tables.ts'
import { WRONG_UPDATES } from './wrong-updates.ts'
import { WRONG_UPLOADS } from './wrong-uploads.ts'
import type { Wrong } from './wrong.ts'

export { LOOKUP, sendWrong, TABLE } from './wrong.ts'
export type { Wrong } from './wrong.ts'

/** All requests that must be refused, by what is wrong with them. */
export const WRONG: Record<string, Wrong> = {
  ...WRONG_LOOKUPS,
  ...WRONG_UPDATES,
  ...WRONG_UPLOADS,
  ...WRONG_TABLES,
}
