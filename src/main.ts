import { createServer } from 'node:net'
import { MessageChannel, Worker } from 'node:worker_threads'
import closeWithGrace from 'close-with-grace'
import { type Config, ConfigError, readConfig } from './config.ts'
import type { FrontCommand, FrontData, FrontEvent } from './http/front.ts'
import { Keeper } from './keeper/keeper.ts'
import { version } from './version.ts'

const CLOSE_MS_MAX = 25_000

interface RunningFront {
  worker: Worker
  closed: Promise<void>
}

/** Writes one line for people, and ends the process: what it was started with cannot work. */
const giveUp = (line: string): never => {
  process.stderr.write(`gatherd: ${line}\n`)
  process.exit(1)
}

/** With reusePort, two servers on one port would share its connections without a word: whoever comes second must not start. */
const checkPortIsFree = (config: Config): Promise<void> =>
  new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen({ host: config.host, port: config.port }, () => probe.close(() => resolve()))
  })

const startFront = (config: Config, keeper: Keeper, port: number): Promise<{ front: RunningFront; port: number }> => {
  const { port1, port2 } = new MessageChannel()
  keeper.connect(port1)
  const data: FrontData = {
    keeperPort: port2,
    host: config.host,
    port,
    gathererCount: Math.ceil(config.gathererCount / config.frontCount),
    logLevel: config.logLevel,
  }
  const worker = new Worker(new URL('./http/front.ts', import.meta.url), { workerData: data, transferList: [port2] })
  return new Promise((resolve, reject) => {
    const closed = new Promise<void>((done) => worker.once('exit', () => done()))
    worker.once('error', reject)
    worker.on('message', (event: FrontEvent) => {
      if (event.kind === 'listening') resolve({ front: { worker, closed }, port: event.port })
    })
  })
}

/** One port for all fronts: the first one finds it when any free port will do. Each joins `fronts` when it listens. */
const startFronts = async (config: Config, keeper: Keeper, fronts: RunningFront[]): Promise<number> => {
  const first = await startFront(config, keeper, config.port)
  fronts.push(first.front)
  const others = Array.from({ length: config.frontCount - 1 }, () => startFront(config, keeper, first.port))
  for (const { front } of await Promise.all(others)) fronts.push(front)
  return first.port
}

const tell = (fronts: readonly RunningFront[], command: FrontCommand): void => {
  for (const { worker } of fronts) worker.postMessage(command)
}

/** Takes the fronts down so that no accepted request fails: readiness off, service goes on for `drainMs`, then the rest is finished. */
const drain = async (fronts: readonly RunningFront[], keeper: Keeper, drainMs: number): Promise<void> => {
  tell(fronts, { kind: 'drain' })
  await new Promise((resolve) => setTimeout(resolve, drainMs))
  tell(fronts, { kind: 'close' })
  await Promise.all(fronts.map(({ closed }) => closed))
  keeper.close()
}

/** Nobody can connect to "any address"; the machine's own can stand for it. */
const hostForPeople = (host: string): string =>
  host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host

const announce = (address: string): void => {
  process.stdout.write(
    `gatherd ${version} is ready: ${address}\n\n` +
      'A first lookup to try:\n' +
      `  curl -X PUT ${address}/v1/tables/user -H 'content-type: application/json' -d '{"values":[[1,2],[3,4],[5,6]]}'\n` +
      `  curl -X POST ${address}/v1/tables/user/lookup -H 'content-type: application/json' -d '{"indices":[2,0]}'\n` +
      `Documentation: ${address}/docs\n`,
  )
}

const main = async (): Promise<void> => {
  const config = readConfig(process.env)
  await checkPortIsFree(config)
  const keeper = new Keeper({
    quotaBytes: config.memoryQuotaBytes,
    onError: (error) => process.stderr.write(`${JSON.stringify({ level: 50, time: Date.now(), name: 'keeper', msg: String(error) })}\n`),
  })
  const fronts: RunningFront[] = []
  // Before the first front listens: from then on a signal must not cut a request off.
  closeWithGrace({ delay: CLOSE_MS_MAX, logger: false }, async ({ err }) => {
    if (err !== undefined) process.stderr.write(`${JSON.stringify({ level: 60, time: Date.now(), name: 'main', msg: err.stack })}\n`)
    await drain(fronts, keeper, err === undefined && fronts.length > 0 ? config.drainMs : 0)
  })
  const port = await startFronts(config, keeper, fronts)
  announce(`http://${hostForPeople(config.host)}:${port}`)
}

try {
  await main()
} catch (error) {
  if (error instanceof ConfigError) giveUp(error.message.replaceAll('\n', '\ngatherd: '))
  const { code } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') giveUp('the port is in use; choose another with GATHERD_PORT')
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') giveUp(`cannot listen on that address (${code})`)
  throw error
}
