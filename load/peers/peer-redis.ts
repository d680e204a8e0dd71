/** Starts Redis with rows as keys: in memory alone, and with its writes on disk in two modes. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from './child.ts'
import { openConnection } from '../wires/connection.ts'
import type { PeerOptions } from './peer.ts'
import { command, redisWire } from '../wires/redis-wire.ts'
import type { Scenario } from '../scenarios.ts'
import type { Target } from './target.ts'

const FUNCTIONS_SINCE = 7

interface Kind {
  name: string
  note: string
  settings: string[]
  supports(scenario: Scenario): boolean
}

/** Redis that keeps nothing on disk. */
export const startRedis = (options: PeerOptions): Promise<Target> =>
  startKind(options, {
    name: 'redis',
    note: 'a key a row, MGET; updates by a function in Lua; no durability',
    settings: ['--appendonly', 'no'],
    supports: (scenario) => scenario.durability === 'none' && scenario.encoding !== 'json',
  })

/** Redis with an append-only file that is synchronised before each answer. */
export const startRedisFsync = (options: PeerOptions): Promise<Target> =>
  startKind(options, {
    name: 'redis-fsync',
    note: 'the same with appendfsync always',
    // A second process rewrites the file, and its cost would fall on another measurement.
    settings: ['--appendonly', 'yes', '--appendfsync', 'always', '--auto-aof-rewrite-percentage', '0'],
    supports: (scenario) => scenario.durability === 'disk' && scenario.encoding !== 'json',
  })

/** Redis with an append-only file that is synchronised once a second, as mode `os` promises. */
export const startRedisEverysec = (options: PeerOptions): Promise<Target> =>
  startKind(options, {
    name: 'redis-everysec',
    note: 'the same with appendfsync everysec',
    settings: ['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0'],
    supports: (scenario) => scenario.durability === 'none' && scenario.encoding !== 'json',
  })

async function startKind(
  { outPath, prefix }: PeerOptions,
  { name, note, settings, supports }: Kind,
): Promise<Target> {
  const version = readVersion()
  const dataPath = mkdtempSync(join(tmpdir(), `load-${name}-`))
  const forget = (): void => rmSync(dataPath, { recursive: true, force: true })
  const port = await findFreePort()
  const url = `redis://127.0.0.1:${port}`
  try {
    const server = await startServer({
      prefix,
      command: 'redis-server',
      args: [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--dir',
        dataPath,
        '--loglevel',
        'warning',
        ...settings,
      ],
      env: {},
      logPath: join(outPath, `${name}.log`),
      known: { url, isReady: () => loadFunction(url) },
    })
    const stop = (): Promise<void> => server.stop().finally(forget)
    return {
      name,
      note,
      versions: `Redis ${version}`,
      role: 'peer',
      wire: redisWire,
      url,
      pid: server.pid,
      supports,
      stop,
    }
  } catch (error) {
    forget()
    throw error
  }
}

/** Whether the server answers; it loads the function first. */
async function loadFunction(url: string): Promise<boolean> {
  const connection = await openConnection(url, redisWire).catch(() => undefined)
  if (connection === undefined) return false
  const program = readFileSync(join(import.meta.dirname, 'sgd.lua'))
  await command(connection, 'FUNCTION', 'LOAD', 'REPLACE', program).finally(() => connection.close())
  return true
}

function readVersion(): string {
  let text: string
  try {
    text = execFileSync('redis-server', ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  } catch (error) {
    throw new Error('redis-server is not installed', { cause: error })
  }
  const version = /v=([\d.]+)/.exec(text)?.[1] ?? 'unknown'
  if (Number.parseInt(version, 10) < FUNCTIONS_SINCE)
    throw new Error(`Redis ${version} has no functions, ${FUNCTIONS_SINCE} has`)
  return version
}

/** A port that was free a moment ago: Redis cannot be asked to choose one. */
async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise<void>((resolve) => void server.close(() => resolve()))
  return port
}
