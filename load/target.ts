/** Who is measured: gatherd itself, and beside it whatever comparison is installed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningServer, startServer, waitUntilReady } from './child.ts'
import type { Scenario } from './scenarios.ts'

export interface Target {
  name: string
  /** One line for the report: what it is. */
  note: string
  /** `floor` looks nothing up: it answers as many bytes, to show what HTTP alone costs. */
  role: 'gatherd' | 'peer' | 'floor'
  url: string
  /** Process whose CPU and memory are read; unknown for a server that somebody else started. */
  pid: number | undefined
  supports(scenario: Scenario): boolean
  stop(): Promise<void>
}

const SERVER_PATH = join(import.meta.dirname, '../src/main.ts')

/** Starts gatherd on a free port with an empty data directory of its own, which `stop` removes. */
export async function startGatherd(outPath: string): Promise<Target> {
  const dataPath = mkdtempSync(join(tmpdir(), 'gatherd-load-'))
  const forget = (): void => rmSync(dataPath, { recursive: true, force: true })
  let server: RunningServer
  try {
    server = await startServer({
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', SERVER_PATH],
      env: { GATHERD_HOST: '127.0.0.1', GATHERD_PORT: '0', GATHERD_DATA_DIR: dataPath },
      logPath: join(outPath, 'gatherd.log'),
    })
  } catch (error) {
    forget()
    throw error
  }
  return describeGatherd(server.url, server.pid, () => server.stop().finally(forget))
}

/** A gatherd that runs already and is left running. Its tables of the names used here are replaced. */
export async function useRunningGatherd(url: string, pid: number | undefined): Promise<Target> {
  const origin = new URL(url).origin
  await waitUntilReady(origin)
  return describeGatherd(origin, pid, async () => {})
}

const describeGatherd = (url: string, pid: number | undefined, stop: () => Promise<void>): Target => ({
  name: 'gatherd',
  note: 'this repository, default settings',
  role: 'gatherd',
  url,
  pid,
  supports: () => true,
  stop,
})
