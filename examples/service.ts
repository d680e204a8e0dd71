/** Finds or starts the gatherd that an example talks to. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A running service. `stop` ends it when it was started here, and leaves it running otherwise. */
export interface Service {
  url: string
  startedHere: boolean
  stop: () => Promise<void>
}

const isReady = (url: string): Promise<boolean> =>
  fetch(`${url}/readyz`, { signal: AbortSignal.timeout(1_000) }).then(
    (answer) => answer.ok,
    () => false,
  )

/** Returns the service at `url`, or starts one on a free port with a data directory of its own. */
export const findOrStartService = async (url: string): Promise<Service> => {
  if (await isReady(url)) return { url, startedHere: false, stop: async () => {} }
  const dataDir = mkdtempSync(join(tmpdir(), 'gatherd-demo-'))
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', join(import.meta.dirname, '../src/main.ts')],
    {
      env: {
        ...process.env,
        GATHERD_PORT: '0',
        GATHERD_DATA_DIR: dataDir,
        GATHERD_DRAIN_MS: '0',
        GATHERD_LOG_LEVEL: 'warn',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const started = new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = /http:\/\/[^\s]+/.exec(text)
      if (found !== null) resolve(found[0])
    })
    child.once('exit', (code) => reject(new Error(`gatherd ended with code ${code} before it was ready`)))
  })
  return {
    url: await started,
    startedHere: true,
    stop: async () => {
      child.kill('SIGTERM')
      await exited
      rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
