/** The servers that are measured: gatherd itself, and beside it each comparison that is installed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningServer, startServer, waitUntilReady } from './child.ts'
import { httpWire } from '../wires/http-wire.ts'
import { describeVersions } from '../measure/machine.ts'
import type { Scenario } from '../scenarios.ts'
import type { Wire } from '../wires/wire.ts'

export interface Target {
  name: string
  /** A description of one line for the report. */
  note: string
  /** Versions of its parts, as in `Redis 7.0.15`. */
  versions: string
  /** `floor` looks nothing up: it answers as many bytes, to show what HTTP alone costs. */
  role: 'gatherd' | 'peer' | 'floor'
  wire: Wire
  url: string
  /**
   * Process whose CPU and memory, with that of its children, are read; undefined for a server that the run
   * did not start.
   */
  pid: number | undefined
  supports(scenario: Scenario): boolean
  stop(): Promise<void>
}

const SERVER_PATH = join(import.meta.dirname, '../../src/main.ts')

/**
 * Starts gatherd on a free port with an empty data directory of its own, which `stop` removes. `prefix`
 * stands before its command.
 */
export async function startGatherd(outPath: string, prefix: string[] = []): Promise<Target> {
  const dataPath = mkdtempSync(join(tmpdir(), 'gatherd-load-'))
  const forget = (): void => rmSync(dataPath, { recursive: true, force: true })
  let server: RunningServer
  try {
    server = await startServer({
      prefix,
      command: process.execPath,
      args: ['--disable-warning=ExperimentalWarning', SERVER_PATH],
      env: { GATHERD_HOST: '127.0.0.1', GATHERD_PORT: '0', GATHERD_DATA_DIR: dataPath },
      logPath: join(outPath, 'gatherd.log'),
    })
  } catch (error) {
    forget()
    throw error
  }
  const { gatherd, node } = describeVersions()
  return {
    ...describeGatherd(server.url, server.pid),
    note: 'this repository, default settings',
    versions: `gatherd ${gatherd}, Node ${node.replace('v', '')}`,
    stop: () => server.stop().finally(forget),
  }
}

/** A gatherd that runs already and is left running. Its tables of the names used here are replaced. */
export async function useRunningGatherd(url: string, pid: number | undefined): Promise<Target> {
  const origin = new URL(url).origin
  await waitUntilReady(origin)
  return {
    ...describeGatherd(origin, pid),
    note: 'a service that ran already',
    versions: '',
    stop: async () => {},
  }
}

const describeGatherd = (url: string, pid: number | undefined) => ({
  name: 'gatherd',
  role: 'gatherd' as const,
  wire: httpWire,
  url,
  pid,
  supports: () => true,
})
