/** Lists the versions of all programs of the run in one line. */
import type { Results } from '../results.ts'

/** Each version once, in the order of the servers. */
export const listVersions = ({ targets }: Results): string =>
  [...new Set(targets.flatMap(({ versions }) => versions.split(', ')))].filter(Boolean).join(', ')
