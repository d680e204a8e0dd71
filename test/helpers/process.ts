/** Starts gatherd as a child process, as its users run it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { COMPILE_CACHE } from './compile-cache.ts'

/** A running gatherd process. */
export interface RunningProcess {
  url: string
  child: ChildProcess
  /** What it has written to standard output and standard error so far. */
  output: () => string
  /** Resolves to the exit code, or the name of the signal that ended it. */
  exited: Promise<number | string>
  /** Kills the process and removes its data. */
  dispose: () => Promise<void>
}

/**
 * Spawns src/main.ts on a free port with a data directory of its own. `environment` is added to its
 * environment.
 */
export const spawnProcess = (
  environment: Record<string, string> = {},
): Omit<RunningProcess, 'url'> & { ready: Promise<string> } => {
  const dataDir = mkdtempSync(join(tmpdir(), 'gatherd-test-'))
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../../src/main.ts')],
    {
      env: {
        PATH: process.env.PATH,
        ...COMPILE_CACHE,
        GATHERD_PORT: '0',
        GATHERD_DATA_DIR: dataDir,
        GATHERD_DRAIN_MS: '200',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  let text = ''
  const exited = new Promise<number | string>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown')),
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
  })
  // A test that only waits for the exit does not await `ready`, whose rejection is then not an error.
  ready.catch(() => {})
  const dispose = async () => {
    child.kill('SIGKILL')
    await exited
    rmSync(dataDir, { recursive: true, force: true })
  }
  return { child, output: () => text, exited, ready, dispose }
}

/** Spawns a process and waits until it is ready. */
export const startProcess = async (environment: Record<string, string> = {}): Promise<RunningProcess> => {
  const started = spawnProcess(environment)
  try {
    return { ...started, url: await started.ready }
  } catch (error) {
    await started.dispose()
    throw error
  }
}
