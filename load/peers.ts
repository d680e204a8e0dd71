/** Optional comparisons: each is started when what it needs is installed, and named as skipped when not. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { type ServerCommand, startServer } from './child.ts'
import type { Target } from './target.ts'

const PEER_PATH = join(import.meta.dirname, 'peers')
const PYTHON_MODULES = ['fastapi', 'uvicorn', 'numpy', 'orjson']

export interface PeerOptions {
  /** The Python that has FastAPI installed. */
  python: string
  /** Only peers whose name matches. */
  pattern: RegExp
  outPath: string
}

export interface Skipped {
  name: string
  reason: string
}

/** Worth comparing with, but not by this client. */
const NEVER_STARTED: Skipped[] = [{ name: 'redis', reason: 'MGET speaks RESP, and autocannon only HTTP' }]

type PeerStart = (options: PeerOptions) => Promise<Target>

const PEERS: Record<string, PeerStart> = { fastapi: startFastapi, 'null-http': startNullHttp }

/** Starts every peer that can be; one that cannot is reported, never a failure of the run. */
export async function startPeers(options: PeerOptions): Promise<{ targets: Target[]; skipped: Skipped[] }> {
  const targets: Target[] = []
  const skipped: Skipped[] = [...NEVER_STARTED]
  for (const [name, start] of Object.entries(PEERS)) {
    if (!options.pattern.test(name)) {
      skipped.push({ name, reason: 'left out by --peers' })
      continue
    }
    try {
      targets.push(await start(options))
    } catch (error) {
      skipped.push({ name, reason: error instanceof Error ? error.message : String(error) })
    }
  }
  return { targets, skipped }
}

async function startFastapi({ python, outPath }: PeerOptions): Promise<Target> {
  const versions = readPythonVersions(python)
  const command: ServerCommand = {
    command: python,
    args: [join(PEER_PATH, 'fastapi_app.py')],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
    logPath: join(outPath, 'fastapi.log'),
  }
  const server = await startServer(command)
  return {
    name: 'fastapi',
    note: `FastAPI over NumPy, one process, no durability (${versions})`,
    role: 'peer',
    url: server.url,
    pid: server.pid,
    supports: (scenario) => scenario.durability === 'none',
    stop: server.stop,
  }
}

/** Versions of the modules in one line; throws the one-line reason when Python or a module is missing. */
function readPythonVersions(python: string): string {
  const program = `
import importlib.util, importlib.metadata as metadata, platform, sys
missing = [name for name in ${JSON.stringify(PYTHON_MODULES)} if importlib.util.find_spec(name) is None]
if missing: sys.exit('Python has no ' + ', '.join(missing))
extra = [name for name in ('uvloop', 'httptools') if importlib.util.find_spec(name)]
print(', '.join(['Python ' + platform.python_version()] + [name + ' ' + metadata.version(name) for name in ${JSON.stringify(PYTHON_MODULES)} + extra]))`
  try {
    return execFileSync(python, ['-c', program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
  } catch (error) {
    const { stderr, code } = error as { stderr?: string; code?: string }
    throw new Error(
      code === 'ENOENT' ? `no ${python} (--python names one)` : `${stderr?.trim() || 'Python did not start'} (--python names another)`,
      {
        cause: error,
      },
    )
  }
}

async function startNullHttp({ outPath }: PeerOptions): Promise<Target> {
  const server = await startServer({
    command: process.execPath,
    args: [join(PEER_PATH, 'null-http.ts')],
    env: {},
    logPath: join(outPath, 'null-http.log'),
  })
  return {
    name: 'null-http',
    note: 'node:http that looks nothing up and answers as many bytes: the floor',
    role: 'floor',
    url: server.url,
    pid: server.pid,
    supports: (scenario) => scenario.durability === 'none',
    stop: server.stop,
  }
}
