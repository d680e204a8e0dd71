/** Decides how many random cases a test runs. */
import process from 'node:process'

/** `.ci/run` sets CI=true, and tests then run their long numbers of cases. `npm test` runs the quick ones. */
export const IS_LONG = process.env.CI === 'true'

/** Returns the number of cases that a test runs. */
export const runsOf = ({ quick, long }: { quick: number; long: number }): number => (IS_LONG ? long : quick)

/** The number of random cases of each kernel property. fast-check prints the seed of a failure. */
export const PROPERTY_RUNS = runsOf({ quick: 100, long: 10_000 })

/** The timeout of a property, long enough for all cases on a busy machine. */
export const PROPERTY_TIMEOUT_MS = 300_000
