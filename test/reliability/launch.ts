import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ROOT } from '../tidy/source.ts'
import { COMPILE_CACHE } from '../helpers/compile-cache.ts'

/** A gatherd of its own, on a data directory that outlives it. */
export interface Launched {
  url: string
  child: ChildProcess
  /** What it has written so far. */
  output: () => string
  /** Resolves to the exit code, or the name of the signal that ended it. */
  exited: Promise<number | string>
  /** As `kill -9`; resolves when it is gone. */
  kill: () => Promise<void>
}

export interface LaunchOptions {
  dataDir: string
  environment?: Record<string, string>
  /** Arguments of the command line. */
  argv?: string[]
  /** Where `src/` is; a copy with something removed, in negative controls. */
  root?: string
}

const READY_MS_MAX = 60_000

/** One HTTP thread, no pool, no drain: what is tested is the writer, and starts should be quick. */
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

/** Starts it; `ready` resolves to its address, or rejects when it ends before. */
export const launch = (options: LaunchOptions): Omit<Launched, 'url'> & { ready: Promise<string> } => {
  const { root = ROOT, argv = [] } = options
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(root, 'src/main.ts'), ...argv],
    {
      env: environmentOf(options),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
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
    child.kill('SIGKILL')
    await exited
  }
  return { child, output: () => text, exited, ready, kill }
}

/** The same, ready. One that is not is gone when this rejects. */
export const launchReady = async (options: LaunchOptions): Promise<Launched> => {
  const launched = launch(options)
  try {
    return { ...launched, url: await launched.ready }
  } catch (error) {
    await launched.kill()
    throw error
  }
}
