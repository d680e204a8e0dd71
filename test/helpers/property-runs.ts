import process from 'node:process'

/** `.ci/run` sets CI=true, and tests then run at their long numbers; `npm test` alone has the quick ones. */
export const IS_LONG = process.env.CI === 'true'

/** The number of cases of a test. */
export const runsOf = ({ quick, long }: { quick: number; long: number }): number => (IS_LONG ? long : quick)

/** Random cases of each property of a kernel. fast-check prints the seed of a failure. */
export const PROPERTY_RUNS = runsOf({ quick: 100, long: 10_000 })

/** Long enough for all of them on a busy machine. */
export const PROPERTY_TIMEOUT_MS = 300_000
