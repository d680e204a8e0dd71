/** Starts nginx and haproxy in front of a service. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { readSections } from '../docs/markdown.ts'
import { commandOf } from '../skips.ts'
import { ROOT } from '../tidy/source.ts'

export type ProxyName = 'nginx' | 'haproxy'

/** A running proxy, listening on `port` of 127.0.0.1. */
export interface Proxy {
  port: number
  close: () => Promise<void>
}

const findFreePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })

/** The shortest configuration that works: everything else is the default of the proxy. */
const DEFAULTS: Readonly<Record<ProxyName, (port: number, upstream: number) => string>> = {
  nginx: (port, upstream) =>
    `server { listen 127.0.0.1:${port}; location / { proxy_pass http://127.0.0.1:${upstream}; } }`,
  haproxy: (port, upstream) => `defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend public
  bind 127.0.0.1:${port}
  default_backend gatherd
backend gatherd
  server one 127.0.0.1:${upstream}
`,
}

/** The configuration that the page about proxies shows, with the ports of a test. */
const readPage = (name: ProxyName, port: number, upstream: number): string => {
  const blocks = readSections(readFileSync(join(ROOT, 'docs/how-to/proxies.md'), 'utf8')).flatMap(
    (section) => section.blocks,
  )
  const text = blocks.find(({ info }) => info === name)?.text ?? ''
  return text
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${upstream}`)
    .replace('listen 80;', `listen 127.0.0.1:${port};`)
    .replace('bind :80', `bind 127.0.0.1:${port}`)
}

/** What belongs around a configuration so that the proxy runs in the foreground, in a folder of its own. */
const wrap = (name: ProxyName, text: string, folder: string): string => {
  if (name === 'haproxy') return `global\n  log stdout format raw local0\n${text}`
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${folder}/${kind};`)
    .join(' ')
  const user = process.getuid?.() === 0 ? 'user root;' : ''
  return `${user} daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;
events {}
http { access_log off; ${paths}
${text}
}`
}

const isListening = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => socket.destroy()).once('close', (hadError) => resolve(!hadError))
    socket.on('error', () => {})
  })

/** Starts a proxy with its defaults, or with the configuration of the page about proxies. */
export const startProxy = async (
  name: ProxyName,
  upstream: number,
  from: 'defaults' | 'page',
): Promise<Proxy> => {
  const port = await findFreePort()
  const folder = mkdtempSync(join(tmpdir(), `gatherd-${name}-`))
  const text = from === 'page' ? readPage(name, port, upstream) : DEFAULTS[name](port, upstream)
  const file = join(folder, 'configuration')
  writeFileSync(file, wrap(name, text, folder))
  const words = name === 'nginx' ? ['-p', folder, '-c', file] : ['-db', '-f', file]
  const child: ChildProcess = spawn(commandOf(name), words, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      output += chunk.toString()
    })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  for (let tries = 0; !(await isListening(port)); tries++) {
    if (tries === 500 || child.exitCode !== null) throw new Error(`${name} does not start: ${output}`)
    await sleep(20)
  }
  return {
    port,
    close: async () => {
      child.kill('SIGTERM')
      await exited
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
