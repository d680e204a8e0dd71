/** Starts each optional comparison whose programs are installed, and names the others as skipped. */
import type { PeerOptions, Skipped } from './peer.ts'
import { startNullHttp } from './peer-null.ts'
import { startAsgi, startFastapi } from './peer-python.ts'
import { startRedis, startRedisFsync } from './peer-redis.ts'
import type { Target } from './target.ts'

/** The comparisons in the order in which the report shows them. */
const PEERS: Record<string, (options: PeerOptions) => Promise<Target>> = {
  fastapi: startFastapi,
  asgi: startAsgi,
  redis: startRedis,
  'redis-fsync': startRedisFsync,
  'null-http': startNullHttp,
}

export const PEER_NAMES = Object.keys(PEERS)

/** Starts every peer that can start. One that cannot is reported and does not fail the run. */
export async function startPeers(options: PeerOptions): Promise<{ targets: Target[]; skipped: Skipped[] }> {
  const targets: Target[] = []
  const skipped: Skipped[] = []
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
