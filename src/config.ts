/**
 * Turns the environment into a frozen configuration. This is the only reader of the service's environment
 * variables.
 */
import { availableParallelism, totalmem } from 'node:os'
import { envSchema } from 'env-schema'
import { Type } from 'typebox'

/** The configuration of the service process, read once at start. */
export interface Config {
  host: string
  /** 0 means any free port. */
  port: number
  dataDir: string
  /** The number of HTTP worker threads, which share the port. */
  httpThreadCount: number
  /**
   * The number of compute worker threads, for all HTTP workers together. With 0, each lookup runs in its HTTP
   * worker.
   */
  computeThreadCount: number
  memoryQuotaBytes: number
  logLevel: string
  /** Whether plain lookups and updates are answered by the fast path, without a whole HTTP parser. */
  fastPath: boolean
  /** How long an idle connection stays open. */
  keepAliveMs: number
  /** The slowest accepted transfer of a body, on average; 0 for any. */
  bodyBytesPerSecondMin: number
  /** How long requests are still accepted after SIGTERM, so that a load balancer can notice. */
  drainMs: number
  /** Whether a start goes back to the state before damage of the data directory, instead of refusing. */
  recovers: boolean
  snapshotJournalBytes: number
  snapshotAgeMs: number
  /** Whether npm started this process, in which case a signal may reach npm's shell alone. */
  isStartedByNpm: boolean
  /** For tests: the place in the source where the process kills itself; null for none. */
  failpoint: string | null
}

/** The settings that HTTP workers go by. Each worker gets the configuration as it is. */
export type HttpSettings = Pick<Config, 'logLevel' | 'fastPath' | 'keepAliveMs' | 'bodyBytesPerSecondMin'>

const MiB = 1024 * 1024

/** Returns the memory that this process may use: the limit of its cgroup, if there is one. */
const usableBytes = (): number => {
  const constrained = process.constrainedMemory()
  return constrained > 0 && constrained < totalmem() ? constrained : totalmem()
}

/**
 * Every variable with its type, default and meaning. `docs/reference/configuration.md` is generated from it.
 */
export const CONFIG_SCHEMA = Type.Object({
  GATHERD_HOST: Type.String({ minLength: 1, default: '127.0.0.1', description: 'Address to listen on' }),
  GATHERD_PORT: Type.Integer({
    default: 8080,
    minimum: 0,
    maximum: 65_535,
    description: 'Port; 0 takes any free one',
  }),
  GATHERD_DATA_DIR: Type.String({
    default: './data',
    minLength: 1,
    description: 'Directory of catalog, journal and snapshots',
  }),
  GATHERD_HTTP_THREADS: Type.Integer({
    minimum: 1,
    maximum: 256,
    description: 'HTTP worker threads; default: the cores this process may use',
  }),
  GATHERD_COMPUTE_THREADS: Type.Integer({
    minimum: 0,
    maximum: 256,
    description:
      'Compute worker threads for large lookups, all HTTP workers together; default: GATHERD_HTTP_THREADS',
  }),
  GATHERD_MEMORY_QUOTA_BYTES: Type.Integer({
    minimum: MiB,
    description: 'Most bytes of table memory; default: three quarters of the memory this process may use',
  }),
  GATHERD_LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], {
    default: 'info',
    description: 'Lowest level that is logged',
  }),
  GATHERD_FAST_PATH: Type.Enum(['on', 'off'], {
    default: 'on',
    description:
      'Whether plain lookups (JSON, octet-stream) and updates (JSON, safetensors) take the fast path',
  }),
  GATHERD_KEEP_ALIVE_MS: Type.Integer({
    default: 75_000,
    minimum: 1_000,
    maximum: 3_600_000,
    description:
      'Milliseconds that an idle connection stays open: longer than its clients and proxies reuse theirs',
  }),
  GATHERD_BODY_BYTES_PER_SECOND: Type.Integer({
    default: 4_096,
    minimum: 0,
    maximum: 1024 * MiB,
    description:
      'A body that arrives more slowly, on average, is refused with 408; with 0 only silence is (30 s)',
  }),
  GATHERD_DRAIN_MS: Type.Integer({
    default: 5_000,
    minimum: 0,
    maximum: 20_000,
    description: 'Milliseconds of service after SIGTERM or Ctrl-C, with readiness off',
  }),
  GATHERD_RECOVER: Type.Enum(['never', 'before-damage'], {
    default: 'never',
    description:
      'With `before-damage`, a start goes back to the last state before damage of the data directory ' +
      'and reports what is lost, instead of refusing; also `--recover=before-damage`',
  }),
  GATHERD_SNAPSHOT_JOURNAL_BYTES: Type.Integer({
    default: 64 * MiB,
    minimum: 4096,
    description: 'A version gets another snapshot when its journal has grown this much since the last one',
  }),
  GATHERD_SNAPSHOT_AGE_MS: Type.Integer({
    default: 15 * 60 * 1_000,
    minimum: 1_000,
    description: 'A version that has changed gets another snapshot when its last one is this old',
  }),
  GATHERD_FAILPOINT: Type.Optional(
    Type.String({
      pattern: '^[a-z-]+:[a-z-]+(:[0-9]+)?$',
      description: 'For crash tests: the place in the source where the process kills itself',
    }),
  ),
})

/** Read by the commands of cli/ only. A service that finds it in its environment starts all the same. */
const COMMAND_LINE_SETTING = 'GATHERD_URL'

/** The wrong settings of an environment, all of them in one error. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/**
 * Reads the environment variables; `overrides` from the command line replace them. Throws
 * {@link ConfigError}, which names every wrong value and every unknown GATHERD_ name.
 */
export const readConfig = (variables: NodeJS.ProcessEnv, overrides: NodeJS.ProcessEnv = {}): Config => {
  const environment = { ...variables, ...overrides }
  const problems = Object.keys(environment)
    .filter(
      (name) =>
        name.startsWith('GATHERD_') && name !== COMMAND_LINE_SETTING && !(name in CONFIG_SCHEMA.properties),
    )
    .map((name) => `${name}: there is no such setting`)
  const parallelism = availableParallelism()
  const httpThreads = environment.GATHERD_HTTP_THREADS ?? String(parallelism)
  const defaults = {
    GATHERD_HTTP_THREADS: httpThreads,
    GATHERD_COMPUTE_THREADS: httpThreads,
    GATHERD_MEMORY_QUOTA_BYTES: String(Math.floor(usableBytes() * 0.75)),
  }
  const given = Object.fromEntries(
    Object.entries(environment).filter(([name]) => name.startsWith('GATHERD_')),
  )
  let values: Record<string, string | number> = {}
  try {
    values = envSchema({ schema: CONFIG_SCHEMA, data: { ...defaults, ...given }, env: false })
  } catch (error) {
    problems.push(...explain(error))
  }
  if (problems.length > 0) throw new ConfigError(problems.join('\n'))
  return Object.freeze({
    host: String(values.GATHERD_HOST),
    port: Number(values.GATHERD_PORT),
    dataDir: String(values.GATHERD_DATA_DIR),
    httpThreadCount: Number(values.GATHERD_HTTP_THREADS),
    computeThreadCount: Number(values.GATHERD_COMPUTE_THREADS),
    memoryQuotaBytes: Number(values.GATHERD_MEMORY_QUOTA_BYTES),
    logLevel: String(values.GATHERD_LOG_LEVEL),
    fastPath: values.GATHERD_FAST_PATH === 'on',
    keepAliveMs: Number(values.GATHERD_KEEP_ALIVE_MS),
    bodyBytesPerSecondMin: Number(values.GATHERD_BODY_BYTES_PER_SECOND),
    drainMs: Number(values.GATHERD_DRAIN_MS),
    recovers: values.GATHERD_RECOVER === 'before-damage',
    snapshotJournalBytes: Number(values.GATHERD_SNAPSHOT_JOURNAL_BYTES),
    snapshotAgeMs: Number(values.GATHERD_SNAPSHOT_AGE_MS),
    isStartedByNpm: environment.npm_lifecycle_event !== undefined,
    failpoint: values.GATHERD_FAILPOINT === undefined ? null : String(values.GATHERD_FAILPOINT),
  })
}

/** Returns one line for each error in Ajv's list. */
const explain = (error: unknown): string[] => {
  const { errors } = error as {
    errors?: { instancePath: string; message?: string; params?: { allowedValues?: string[] } }[]
  }
  if (errors === undefined) throw error
  return errors.map(({ instancePath, message, params }) => {
    const values = params?.allowedValues === undefined ? '' : `: ${params.allowedValues.join(', ')}`
    return `${instancePath.slice(1)}: ${message}${values}`
  })
}
