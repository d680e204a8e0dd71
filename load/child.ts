/** Servers that the run starts itself: a child process each, stopped by its own handle and nothing else. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const READY_MS_MAX = 60_000
const STOP_MS_MAX = 15_000

export interface ServerCommand {
  command: string
  args: string[]
  env: Record<string, string>
  /** Receives all that the server prints. */
  logPath: string
}

/** A server that answers at `url`. */
export interface RunningServer {
  url: string
  pid: number
  stop(): Promise<void>
}

/** Starts a server that prints one line holding its address once it is ready. Fails when it ends, or says nothing for a minute. */
export async function startServer(server: ServerCommand): Promise<RunningServer> {
  const child = spawn(server.command, server.args, { env: { ...process.env, ...server.env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const log = createWriteStream(server.logPath)
  child.stdout.pipe(log, { end: false })
  child.stderr.pipe(log, { end: false })
  child.once('close', (code, signal) => log.end(`\nended with ${signal ?? `code ${code}`}\n`))
  try {
    const url = await readAddress(child, server)
    await waitUntilReady(url)
    return { url, pid: child.pid as number, stop: () => stopChild(child) }
  } catch (error) {
    await stopChild(child)
    throw error
  }
}

function readAddress(child: ChildProcess, { command, args, logPath }: ServerCommand): Promise<string> {
  const named = [command, ...args].join(' ')
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${named}: no address was printed within ${READY_MS_MAX} ms`)), READY_MS_MAX)
    const settle = (action: () => void): void => {
      clearTimeout(timer)
      action()
    }
    child.once('error', (error) => settle(() => reject(error)))
    child.once('exit', (code) => settle(() => reject(new Error(`${named} ended with code ${code} before it was ready: see ${logPath}`))))
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      const address = /https?:\/\/[\w.-]+:\d+/.exec(line)?.[0]
      if (address !== undefined) settle(() => resolve(address))
    })
  })
}

/** Polls `/readyz` until it answers 200. */
export async function waitUntilReady(url: string): Promise<void> {
  const deadline = performance.now() + READY_MS_MAX
  for (;;) {
    const status = await fetch(`${url}/readyz`).then(
      (response) => response.status,
      (error: Error) => error.message,
    )
    if (status === 200) return
    if (performance.now() > deadline) throw new Error(`${url}/readyz did not become 200 within ${READY_MS_MAX} ms: ${status}`)
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
