/** Starts gatherd processes on data directories that outlive them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../tidy/source.ts'
import { COMPILE_CACHE } from '../helpers/compile-cache.ts'

/** A gatherd process on a data directory that outlives it. */
export interface Launched {
  url: string
  child: ChildProcess
  /** Returns the output so far. */
  output: () => string
  /** Resolves to the exit code, or the name of the signal that ended it. */
  exited: Promise<number | string>
  /** Kills the process by SIGKILL, and resolves when it has ended. */
  kill: () => Promise<void>
}

export interface LaunchOptions {
  dataDir: string
  environment?: Record<string, string>
  /** The arguments of the command line. */
  argv?: string[]
  /** A command that starts the process, such as strace, with its arguments. */
  wrapper?: string[]
  /** The folder of `src/`. In negative controls it is a copy with a guard removed. */
  root?: string
}

const READY_MS_MAX = 60_000

/** One HTTP thread, no pool and no drain, because these tests are about the writer and need quick starts. */
const environmentOf = ({ dataDir, environment }: LaunchOptions): Record<string, string> => ({
  PATH: process.env.PATH ?? '',
  ...COMPILE_CACHE,
  GATHERD_PORT: '0',
  GATHERD_DATA_DIR: dataDir,
  GATHERD_HTTP_THREADS: '1',
  GATHERD_COMPUTE_THREADS: '0',
  GATHERD_DRAIN_MS: '0',
  GATHERD_LOG_LEVEL: 'error',
  GATHERD_MEMORY_QUOTA_BYTES: String(512 * 1024 * 1024),
  ...environment,
})

/** Starts a process. `ready` resolves to its address, or rejects when it ends before it is ready. */
export const launch = (options: LaunchOptions): Omit<Launched, 'url'> & { ready: Promise<string> } => {
  const { root = ROOT, argv = [], wrapper = [] } = options
  const [command, ...rest] = [
    ...wrapper,
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(root, 'src/main.ts'),
    ...argv,
  ]
  const child = spawn(command, rest, {
    env: environmentOf(options),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A wrapper has a child, which has to be killed with it.
    detached: wrapper.length > 0,
  })
  let text = ''
  const exited = once(child, 'close').then(
    ([code, signal]) => (code ?? signal ?? 'unknown') as number | string,
  )
  const ready = new Promise<string>((resolve, reject) => {
    const read = (chunk: Buffer) => {
      text += chunk.toString()
      const found = /is ready: (http:\/\/\S+)/.exec(text)
      if (found !== null) resolve(found[1])
    }
    child.stdout.on('data', read)
    child.stderr.on('data', read)
    void exited.then((code) => reject(new Error(`ended with ${code} before it was ready: ${text}`)))
    void sleep(READY_MS_MAX, undefined, { ref: false }).then(() =>
      reject(new Error(`is not ready after a minute: ${text}`)),
    )
  })
  ready.catch(() => {})
  const kill = async () => {
    if (wrapper.length > 0 && child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, 'SIGKILL')
    else child.kill('SIGKILL')
    await exited
  }
  return { child, output: () => text, exited, ready, kill }
}

/** Starts a process and waits until it is ready. When this rejects, the process has ended. */
export const launchReady = async (options: LaunchOptions): Promise<Launched> => {
  const launched = launch(options)
  try {
    return { ...launched, url: await launched.ready }
  } catch (error) {
    await launched.kill()
    throw error
  }
}
