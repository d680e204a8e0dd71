/** How much a test does: in `npm test`, and where CI=true. */
export const sizeOf = (
  { quick, ci }: { quick: number; ci: number },
  environment: NodeJS.ProcessEnv = process.env,
): number => (environment.CI === 'true' ? ci : quick)

/** Of a test that starts processes: they are slow on a busy machine. */
export const TIMEOUT_MS = 20 * 60 * 1_000

/** Another one each day, printed with what it finds. */
export const SEED = Number(process.env.RELIABILITY_SEED ?? Math.floor(Date.now() / 86_400_000))
