/** Random cases of each kernel property: 10,000 where time is no object (CI), fewer at a desk. fast-check prints the seed of a failure. */
export const PROPERTY_RUNS = process.env.CI === undefined ? 1_000 : 10_000

/** Long enough for all of them on a busy machine. */
export const PROPERTY_TIMEOUT_MS = 300_000
