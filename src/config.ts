/**
 * Turns the environment and the command line into a frozen configuration. This is the only reader of the
 * service's environment variables.
 */
import { availableParallelism, totalmem } from 'node:os'
import { envSchema } from 'env-schema'
import { Type } from 'typebox'
import { suggestPrefixed } from './core/suggest-name.ts'
import { readOptions } from './options.ts'
import { describeValues, optionOf, readQuantity, type SettingSchema } from './settings.ts'

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
const DEFAULT_QUOTA = '75%'

/** Returns the memory that this process may use: the limit of its cgroup, if there is one. */
const usableBytes = (): number => {
  const constrained = process.constrainedMemory()
  return constrained > 0 && constrained < totalmem() ? constrained : totalmem()
}

/**
 * Every variable with its type, default and meaning. Options of the command line, their help and
 * `docs/reference/configuration.md` are made from it. A name that ends with `_BYTES` takes sizes (`4GB`), one
 * that ends with `_MS` durations (`5s`).
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
  GATHERD_HTTP_THREADS: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 256,
      description: 'HTTP worker threads; default: the cores this process may use',
    }),
  ),
  GATHERD_COMPUTE_THREADS: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 256,
      description:
        'Compute worker threads for large lookups, all HTTP workers together; default: as many as HTTP worker ' +
        'threads',
    }),
  ),
  GATHERD_MEMORY_QUOTA_BYTES: Type.Integer({
    minimum: MiB,
    default: DEFAULT_QUOTA,
    description:
      'Most bytes of table memory. A share is one of the memory that this process may use: the limit of its ' +
      "cgroup (a container's --memory), or without one the machine's memory",
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
    description: 'How long it goes on serving after SIGTERM or Ctrl-C, with readiness off',
  }),
  GATHERD_RECOVER: Type.Enum(['never', 'before-damage'], {
    default: 'never',
    description:
      'With `before-damage`, a start goes back to the last state before damage of the data directory ' +
      'and reports what is lost, instead of refusing',
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

/** The wrong settings of an environment and a command line, all of them in one error. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** Whether the command line has one of the mistakes. */
  readonly isUsage: boolean

  constructor(problems: readonly string[], isUsage: boolean) {
    super(problems.join('\n'))
    this.isUsage = isUsage
  }
}

/** The settings, by the names of their variables. */
export const SETTINGS: Readonly<Record<string, SettingSchema>> = CONFIG_SCHEMA.properties

/**
 * Reads the environment variables, and the options in `words`, which override them. Throws
 * {@link ConfigError}, which names every wrong value and every unknown name.
 */
export const readConfig = (environment: NodeJS.ProcessEnv, words: readonly string[] = []): Config => {
  const names = Object.keys(SETTINGS)
  const options = readOptions(words, names)
  const unknown = Object.keys(environment)
    .filter((name) => name.startsWith('GATHERD_') && name !== COMMAND_LINE_SETTING && !names.includes(name))
    .map((name) => `${name}: there is no such setting${suggestPrefixed('GATHERD_', name, names)}`)
  const given = Object.fromEntries(
    names.flatMap((name) => {
      const text = options.values[name] ?? environment[name]
      return text === undefined ? [] : [[name, text]]
    }),
  )
  const { values, wrong } = checkSettings(given)
  const problems = wrong.map((name) => {
    const source = name in options.values ? optionOf(name) : name
    return `${source} is ${describeValues(name, SETTINGS[name])}, not ${JSON.stringify(given[name])}`
  })
  const isUsage = options.problems.length > 0 || wrong.some((name) => name in options.values)
  const all = [...options.problems, ...unknown, ...problems]
  if (all.length > 0) throw new ConfigError(all, isUsage)
  const httpThreadCount = Number(values.GATHERD_HTTP_THREADS ?? availableParallelism())
  return Object.freeze({
    // An IPv6 address may stand in the brackets that it has in a URL.
    host: String(values.GATHERD_HOST).replace(/^\[(.*)\]$/, '$1'),
    port: Number(values.GATHERD_PORT),
    dataDir: String(values.GATHERD_DATA_DIR),
    httpThreadCount,
    computeThreadCount: Number(values.GATHERD_COMPUTE_THREADS ?? httpThreadCount),
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

/** Checks texts by the schema. Returns the values, defaults included, or the names of the wrong ones. */
const checkSettings = (
  given: Readonly<Record<string, string>>,
): { values: Record<string, string | number>; wrong: string[] } => {
  const memoryBytes = usableBytes()
  const texts = Object.entries({ GATHERD_MEMORY_QUOTA_BYTES: DEFAULT_QUOTA, ...given })
  const data = Object.fromEntries(texts.map(([name, text]) => [name, readQuantity(name, text, memoryBytes)]))
  try {
    return { values: envSchema({ schema: CONFIG_SCHEMA, data, env: false }), wrong: [] }
  } catch (error) {
    const { errors } = error as { errors?: { instancePath: string }[] }
    if (errors === undefined) throw error
    return { values: {}, wrong: [...new Set(errors.map(({ instancePath }) => instancePath.slice(1)))] }
  }
}
