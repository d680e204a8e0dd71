/**
 * The entry of the service process: reads the configuration, starts the writer and the HTTP workers, and
 * shuts both down on a signal.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import closeWithGrace from 'close-with-grace'
import { announceToPeople, announceToPrograms } from './announcement.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { GatherdError } from './core/errors.ts'
import { HttpWorkers } from './http/http-workers.ts'
import { failpoint, setFailpoint } from './storage/failpoints.ts'
import { StoredDataRefusal } from './storage/refusals.ts'
import { Writer } from './writer/writer.ts'
import { checkAddress, explainListenError, ListenRefusal } from './system/listen-address.ts'
import { onStopSignals, STOP_SIGNALS, type StopSignal } from './system/stop-signals.ts'
import { watchParent } from './system/watch-parent.ts'
import { StartProgress } from './writer/recovery/start-progress.ts'

const CLOSE_MS_MAX = 25_000
const CONNECTIONS_POLL_MS = 20
/** A shutdown that takes longer than this says why. */
const TELL_AFTER_MS = 1_000

/** Writes one line for people and ends the process, because it cannot work with what it was started with. */
const giveUp = (line: string, exitCode = 1): never => {
  process.stderr.write(`gatherd: ${line}\n`)
  process.exit(exitCode)
}

const log = (level: number, name: string, error: unknown): void => {
  const msg = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`${JSON.stringify({ level, time: Date.now(), name, msg })}\n`)
}

/** Ends the process at once, without a shutdown. The files on disk stay whole, as after a kill. */
const die = (name: string, error: unknown): never => {
  log(60, name, error)
  process.exit(1)
}

/** Opens and loads the data directory, and reports the progress. */
const load = async (writer: Writer, config: Config): Promise<void> => {
  const progress = new StartProgress(process.stderr)
  await writer.load({
    dataDir: config.dataDir,
    goesBack: config.recovers,
    snapshotJournalBytes: config.snapshotJournalBytes,
    snapshotAgeMs: config.snapshotAgeMs,
    onProgress: (state) => progress.tell(state),
    onWarning: (line) => log(40, 'writer', line),
  })
  progress.end()
}

/**
 * Shuts the service down without failing an accepted request: readiness goes off, requests are served for
 * `drainMs`, and the rest is finished. Requests that come later are refused until the end, so that no client
 * is reset. At a terminal, service without clients ends at once.
 */
const drain = async (
  httpWorkers: HttpWorkers,
  writer: Writer,
  { drainMs, signal }: { drainMs: number; signal: StopSignal | undefined },
): Promise<void> => {
  httpWorkers.drain()
  failpoint('drain:begun')
  if (signal === 'SIGINT') await serveOpenConnections(httpWorkers, drainMs)
  else await sleep(drainMs)
  await httpWorkers.stop()
  const slow = setTimeout(
    () => tell('the last snapshots are being written; press Ctrl-C again to end at once, nothing is lost'),
    TELL_AFTER_MS,
  )
  await writer.close()
  clearTimeout(slow)
  await httpWorkers.close()
}

/** Waits until no connection is open, at most for `drainMs`, and tells people so. */
const serveOpenConnections = async (httpWorkers: HttpWorkers, drainMs: number): Promise<void> => {
  const untilMs = performance.now() + drainMs
  let count = await httpWorkers.countConnections()
  if (count > 0 && drainMs > 0) {
    const connections = count === 1 ? '1 connection is open and is' : `${count} connections are open and are`
    tell(`${connections} served for up to ${drainMs / 1_000} s; press Ctrl-C again to end at once`)
  }
  while (count > 0 && performance.now() < untilMs) {
    await sleep(CONNECTIONS_POLL_MS)
    count = await httpWorkers.countConnections()
  }
}

/** Tells people at a terminal, or the log, what a shutdown waits for. */
const tell = (line: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`gatherd: ${line}\n`)
  else log(30, 'main', line)
}

/** Returns a host that a client can connect to: `localhost` stands for "any address". */
const hostForPeople = (host: string): string =>
  host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host

const start = async (words: readonly string[]): Promise<void> => {
  const config = readConfig(process.env, words)
  setFailpoint(config.failpoint)
  await checkAddress(config)
  const writer = new Writer({
    quotaBytes: config.memoryQuotaBytes,
    onError: (error) => log(50, 'writer', error),
    onFatal: (error) => die('writer', error),
  })
  const httpWorkers = new HttpWorkers(config, writer, {
    onDeath: (error) => log(50, 'http-worker', error),
    onHopeless: (error) => die('http-worker', error),
  })
  // The handler is in place before the first HTTP worker listens, so that a signal never cuts a request off.
  let signal: StopSignal | undefined
  const skip = [...STOP_SIGNALS]
  const { close } = closeWithGrace({ delay: CLOSE_MS_MAX, logger: false, skip }, async ({ err }) => {
    if (err !== undefined) log(60, 'main', err)
    const drainMs = err === undefined && httpWorkers.size > 0 ? config.drainMs : 0
    await drain(httpWorkers, writer, { drainMs, signal })
  })
  const stop = (received: StopSignal): void => {
    signal = received
    void close()
  }
  onStopSignals(stop, () => process.exit(1))
  // From here on, SIGTERM shuts down cleanly.
  if (config.isStartedByNpm) watchParent(() => process.kill(process.pid, 'SIGTERM'))
  // An unusable directory fails at once, before anything listens. Tables are loaded while /livez already
  // answers.
  const loading = load(writer, config)
  const listening = httpWorkers.start().catch((error: unknown) => {
    throw explainListenError(error, config)
  })
  const [port] = await Promise.all([listening, loading])
  const address = `http://${hostForPeople(config.host)}:${port}`
  process.stdout.write(process.stdout.isTTY ? announceToPeople(address) : announceToPrograms(address, config))
}

/**
 * Runs the service with the settings of the environment and the options in `words`. Resolves when it is
 * ready; a start that fails ends the process with a line that says why.
 */
export const serve = async (words: readonly string[]): Promise<void> => {
  try {
    await start(words)
  } catch (error) {
    if (error instanceof ConfigError)
      giveUp(error.message.replaceAll('\n', '\ngatherd: '), error.isUsage ? 2 : 1)
    if (error instanceof StoredDataRefusal) giveUp(error.message, error.exitCode)
    if (error instanceof GatherdError || error instanceof ListenRefusal) giveUp(error.message)
    throw error
  }
}

if (import.meta.main) await serve(process.argv.slice(2))
