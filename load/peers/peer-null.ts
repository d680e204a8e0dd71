/** Starts the floor, which measures the cost of HTTP alone in Node. */
import { join } from 'node:path'
import { startServer } from './child.ts'
import { httpWire } from '../wires/http-wire.ts'
import type { PeerOptions } from './peer.ts'
import type { Target } from './target.ts'

/** Starts peers/null-http.ts under this Node. */
export async function startNullHttp({ outPath, prefix }: PeerOptions): Promise<Target> {
  const server = await startServer({
    prefix,
    command: process.execPath,
    args: [join(import.meta.dirname, 'null-http.ts')],
    env: {},
    logPath: join(outPath, 'null-http.log'),
  })
  return {
    name: 'null-http',
    note: 'node:http that looks nothing up and answers as many bytes: the floor',
    versions: `Node ${process.versions.node}`,
    role: 'floor',
    wire: httpWire,
    url: server.url,
    pid: server.pid,
    supports: (scenario) => scenario.durability === 'none',
    stop: server.stop,
  }
}
