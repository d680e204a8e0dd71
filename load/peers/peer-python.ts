/** Starts the Python servers, which are NumPy behind HTTP with a framework and without one. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { startServer } from './child.ts'
import { httpWire } from '../wires/http-wire.ts'
import type { PeerOptions } from './peer.ts'
import type { Target } from './target.ts'

const NEEDED = { asgi: ['uvicorn', 'numpy', 'orjson'], fastapi: ['fastapi', 'uvicorn', 'numpy', 'orjson'] }
/** uvicorn uses these when they are installed, and is faster then. */
const WELCOME = ['uvloop', 'httptools']

/** Starts peers/fastapi_app.py; throws the reason in one line when Python or a module is missing. */
export const startFastapi = (options: PeerOptions): Promise<Target> =>
  startPython('fastapi', 'FastAPI over NumPy', options)

/** Starts peers/asgi_app.py; throws the reason in one line when Python or a module is missing. */
export const startAsgi = (options: PeerOptions): Promise<Target> =>
  startPython('asgi', 'the same NumPy without a framework', options)

async function startPython(
  name: keyof typeof NEEDED,
  note: string,
  { python, outPath, prefix }: PeerOptions,
): Promise<Target> {
  const versions = readVersions(python, NEEDED[name])
  const server = await startServer({
    prefix,
    command: python,
    args: [join(import.meta.dirname, `${name}_app.py`)],
    env: { PYTHONDONTWRITEBYTECODE: '1' },
    logPath: join(outPath, `${name}.log`),
  })
  return {
    name,
    note: `${note}, one process, no durability`,
    versions,
    role: 'peer',
    wire: httpWire,
    url: server.url,
    pid: server.pid,
    supports: (scenario) => scenario.durability === 'none',
    stop: server.stop,
  }
}

/** Versions of the modules in one line; throws the one-line reason when Python or a module is missing. */
function readVersions(python: string, modules: string[]): string {
  const program = `
import importlib.util, importlib.metadata as metadata, platform, sys
missing = [name for name in ${JSON.stringify(modules)} if importlib.util.find_spec(name) is None]
if missing: sys.exit('Python has no ' + ', '.join(missing))
extra = [name for name in ${JSON.stringify(WELCOME)} if importlib.util.find_spec(name)]
names = ${JSON.stringify(modules)} + extra
versions = ['Python ' + platform.python_version()] + [name + ' ' + metadata.version(name) for name in names]
print(', '.join(versions))`
  try {
    return execFileSync(python, ['-c', program], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim()
  } catch (error) {
    const { stderr, code } = error as { stderr?: string; code?: string }
    const reason =
      code === 'ENOENT'
        ? `no ${python} (--python names one)`
        : `${stderr?.trim() || 'Python did not start'} (--python names another)`
    throw new Error(reason, { cause: error })
  }
}
