/** The command line of `npm run load`. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { PEER_NAMES } from './peers/peers.ts'

export interface LoadOptions {
  url: string | undefined
  pid: number | undefined
  quick: boolean
  windowSeconds: number
  warmupSeconds: number
  repeatCount: number
  outPath: string
  scenarioPattern: RegExp
  peerPattern: RegExp
  python: string
  /** Whether the system places client and servers. */
  free: boolean
  /** The file of the picture; undefined draws none. */
  svgPath: string | undefined
  /** Results to draw instead of measuring. */
  fromPath: string | undefined
}

export const USAGE = `npm run load -- [options]

  --quick              tables of 100,000 rows, fewer scenarios, shorter windows: two minutes instead of eight
  --scenarios REGEX    only these, e.g. 'binary-d64-n(8|64)-'
  --seconds S          length of one measurement (default 0.4, quick 0.3)
  --repeats N          interleaved repeats of which the median counts (default 5, quick 3)
  --out DIR            where results.json, report.html and the servers' logs go (default load/out)
  --svg FILE           also draws the picture of the README, and writes its medians beside it (.json)
  --from FILE          draws the results of an earlier run; measures nothing
  --free               client and servers float over all cores; without it the client has a core of its own
  --url URL            measures a gatherd that runs already; replaces its tables load16, load64, update64
                       and durable64
  --pid PID            process of that server, for CPU and memory
  --peers REGEX        only these comparisons: ${PEER_NAMES.join(', ')}
                       (default: all that are installed; '-' for none)
  --python PATH        the Python that has numpy, orjson, uvicorn and fastapi (default python3)
  --help`

/**
 * Reads the arguments after the program's name; undefined when help was asked for. Throws on anything unknown
 * or out of range.
 */
export function readOptions(args: string[]): LoadOptions | undefined {
  const { values } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean', default: false },
      scenarios: { type: 'string', default: '' },
      seconds: { type: 'string' },
      repeats: { type: 'string' },
      out: { type: 'string', default: 'load/out' },
      url: { type: 'string' },
      pid: { type: 'string' },
      peers: { type: 'string', default: '' },
      python: { type: 'string', default: 'python3' },
      free: { type: 'boolean', default: false },
      svg: { type: 'string' },
      from: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const windowSeconds = readNumber('seconds', values.seconds ?? (values.quick ? '0.3' : '0.4'), 0.05)
  return {
    url: values.url,
    pid: values.pid === undefined ? undefined : readNumber('pid', values.pid, 1),
    quick: values.quick,
    windowSeconds,
    warmupSeconds: windowSeconds / 4,
    repeatCount: Math.floor(readNumber('repeats', values.repeats ?? (values.quick ? '3' : '5'), 1)),
    outPath: resolve(values.out),
    scenarioPattern: new RegExp(values.scenarios),
    peerPattern: values.peers === '-' ? /^$/ : new RegExp(values.peers),
    python: values.python,
    free: values.free,
    svgPath: values.svg === undefined ? undefined : resolve(values.svg),
    fromPath: values.from === undefined ? undefined : resolve(values.from),
  }
}

function readNumber(name: string, text: string, minimum: number): number {
  const value = Number(text)
  if (!(value >= minimum && Number.isFinite(value)))
    throw new Error(`--${name} must be a number of at least ${minimum}, not ${text}`)
  return value
}
