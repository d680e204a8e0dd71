/** The sizes, timeout and seed of the reliability tests. */

/** Returns how much a test does: `quick` in `npm test`, and `ci` when CI=true. */
export const sizeOf = (
  { quick, ci }: { quick: number; ci: number },
  environment: NodeJS.ProcessEnv = process.env,
): number => (environment.CI === 'true' ? ci : quick)

/** The timeout of a test that starts processes, which are slow on a busy machine. */
export const TIMEOUT_MS = 20 * 60 * 1_000

/** The seed, which changes every day. A finding names it. */
export const SEED = Number(process.env.RELIABILITY_SEED ?? Math.floor(Date.now() / 86_400_000))
