/** Random cases of each property of a kernel. fast-check prints the seed of a failure. */
export const PROPERTY_RUNS = process.env.CI === undefined ? 1_000 : 10_000

/** Long enough for all of them on a busy machine. */
export const PROPERTY_TIMEOUT_MS = 300_000
