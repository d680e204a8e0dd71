/** Starts servers as child processes, and stops each by its own handle alone. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const READY_MS_MAX = 60_000
const STOP_MS_MAX = 15_000

export interface ServerCommand {
  /** Words before the command, which hold it to its cores. */
  prefix?: string[]
  command: string
  args: string[]
  env: Record<string, string>
  /** Receives all that the server prints. */
  logPath: string
  /**
   * The address and a check whether the server answers there. Without it, the address is the first one that
   * the server prints, and the server is ready once `/readyz` is 200.
   */
  known?: { url: string; isReady(): Promise<boolean> }
}

/** A server that answers at `url`. */
export interface RunningServer {
  url: string
  pid: number
  stop(): Promise<void>
}

/** Starts a server. Fails when it ends before it is ready, or is not ready within a minute. */
export async function startServer(server: ServerCommand): Promise<RunningServer> {
  const [file, ...args] = [...(server.prefix ?? []), server.command, ...server.args]
  const child = spawn(file, args, {
    env: { ...process.env, ...server.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const log = createWriteStream(server.logPath)
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  child.once('close', (code, signal) => log.end(`\nended with ${signal ?? `code ${code}`}\n`))
  const named = [server.command, ...server.args].join(' ')
  const ended = Promise.withResolvers<never>()
  child.once('error', ended.reject)
  child.once('exit', (code) =>
    ended.reject(new Error(`${named} ended with code ${code} before it was ready: see ${server.logPath}`)),
  )
  // The race below awaits it, but not once the server is ready.
  ended.promise.catch(() => {})
  try {
    const url = await Promise.race([waitForUrl(child, server, named), ended.promise])
    return { url, pid: child.pid as number, stop: () => stopChild(child) }
  } catch (error) {
    await stopChild(child)
    throw error
  }
}

async function waitForUrl(child: ChildProcess, { known }: ServerCommand, named: string): Promise<string> {
  if (known !== undefined) {
    await waitUntil(() => known.isReady(), named)
    return known.url
  }
  const url = await readAddress(child, named)
  await waitUntilReady(url)
  return url
}

async function readAddress(child: ChildProcess, named: string): Promise<string> {
  const found = Promise.withResolvers<string>()
  const timer = setTimeout(
    () => found.reject(new Error(`${named}: no address was printed within ${READY_MS_MAX} ms`)),
    READY_MS_MAX,
  )
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const address = /https?:\/\/[\w.-]+:\d+/.exec(line)?.[0]
    if (address !== undefined) found.resolve(address)
  })
  child.once('exit', () => clearTimeout(timer))
  return found.promise.finally(() => clearTimeout(timer))
}

/** Polls `/readyz` until it answers 200. */
export async function waitUntilReady(url: string): Promise<void> {
  const ask = (): Promise<boolean> =>
    fetch(`${url}/readyz`).then(
      ({ status }) => status === 200,
      () => false,
    )
  await waitUntil(ask, `${url}/readyz`)
}

async function waitUntil(isReady: () => Promise<boolean>, named: string): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX
  while (!(await isReady())) {
    if (performance.now() > deadline) throw new Error(`${named} was not ready within ${READY_MS_MAX} ms`)
    await sleep(50)
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX)
  await ended
  clearTimeout(timer)
}
