/** Versions of all that takes part, as one line. */
import type { Results } from '../results.ts'

/** Each version once, in the order of the servers. */
export const listVersions = ({ targets }: Results): string =>
  [...new Set(targets.flatMap(({ versions }) => versions.split(', ')))].filter(Boolean).join(', ')
