/**
 * Does what `docker build` and `docker run` would, in a clean folder and without an engine: reads the
 * Dockerfile, copies what it copies, runs what it runs, starts its command as its user with its environment,
 * and asks its health check. The image itself stays unverified.
 */
import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  environmentOf,
  healthCheckOf,
  type Instruction,
  isInContext,
  lastOf,
  parseDockerfile,
  type Stage,
} from './dockerfile.ts'

const ROOT = dirname(import.meta.dirname)
const READY_MS_MAX = 60_000
const STOP_MS_MAX = 20_000
const RUN_MS_MAX = 300_000

/** Instructions that say something to an engine only, or that are read elsewhere in this file. */
const DECLARATIONS = new Set([
  'FROM',
  'LABEL',
  'ENV',
  'USER',
  'VOLUME',
  'EXPOSE',
  'STOPSIGNAL',
  'HEALTHCHECK',
  'CMD',
  'WORKDIR',
])

const results: boolean[] = []
const check = (what: string, holds: boolean, found = ''): void => {
  results.push(holds)
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || found === '' ? '' : `: ${found}`}`)
}

/**
 * The files that a build would get: those that git knows or would add, less those that
 * .dockerignore keeps out.
 */
const listContext = (): string[] => {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  const ignoreText = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
  return listed
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(ROOT, path)) && isInContext(path, ignoreText))
}

/** `folder/<stage>` stands for `/` of a stage. */
class Builder {
  readonly folder: string
  readonly #context = listContext()
  readonly #path: string

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'gatherd-container-'))
    chmodSync(this.folder, 0o755)
    // The image's Node, where every user may run it.
    mkdirSync(join(this.folder, 'bin'))
    copyFileSync(process.execPath, join(this.folder, 'bin/node'))
    chmodSync(join(this.folder, 'bin/node'), 0o755)
    this.#path = `${join(this.folder, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`
  }

  get path(): string {
    return this.#path
  }

  inStage(stage: string, path: string): string {
    return join(this.folder, stage, path)
  }

  build(stage: Stage): void {
    let folder = '/'
    for (const instruction of stage.instructions) {
      const { keyword, words } = instruction
      if (keyword === 'WORKDIR') {
        folder = words[0] ?? '/'
        mkdirSync(this.inStage(stage.name, folder), { recursive: true })
      } else if (keyword === 'COPY') this.#copy(instruction, this.inStage(stage.name, folder))
      else if (keyword === 'RUN') this.#run(words, stage.name, this.inStage(stage.name, folder))
      else if (!DECLARATIONS.has(keyword)) throw new Error(`${keyword} is not understood here`)
    }
  }

  #copy({ flags, words }: Instruction, folder: string): void {
    const target = words.at(-1) ?? ''
    for (const source of words.slice(0, -1)) {
      const from = flags.from
      if (from !== undefined) {
        cpSync(this.inStage(from, source), join(folder, target), { recursive: true, verbatimSymlinks: true })
        continue
      }
      const files = this.#context.filter((path) => path === source || path.startsWith(`${source}/`))
      if (files.length === 0) throw new Error(`COPY ${source}: the build would not get it`)
      for (const file of files) {
        const path =
          file === source
            ? join(folder, target, basename(file))
            : join(folder, target, file.slice(source.length))
        mkdirSync(dirname(path), { recursive: true })
        copyFileSync(join(ROOT, file), path)
      }
    }
  }

  /**
   * Runs npm in the stage's folder, and `install -d` on the stage's paths. Anything else could reach outside
   * the folder.
   */
  #run(words: string[], stage: string, folder: string): void {
    const [command = '', ...rest] = words
    if (command !== 'npm' && !(command === 'install' && rest[0] === '-d'))
      throw new Error(`RUN ${command} is not understood here`)
    const values = rest.map((word) => (word.startsWith('/') ? this.inStage(stage, word) : word))
    console.log(`# ${stage}: ${words.join(' ')}`)
    for (let tries = 3; ; tries--) {
      const { status } = spawnSync(command, values, {
        cwd: folder,
        env: { ...process.env, PATH: this.#path },
        stdio: ['ignore', 'inherit', 'inherit'],
        timeout: RUN_MS_MAX,
      })
      if (status === 0) return
      // The registry may not answer at once.
      if (command !== 'npm' || rest[0] !== 'ci' || tries === 1)
        throw new Error(`RUN ${words.join(' ')} ended with ${status}`)
    }
  }
}

const findFreePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const asUser = (user: string): string[] => {
  const [uid = '', gid = ''] = user.split(':')
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs', '--']
}

interface Container {
  stage: Stage
  folder: string
  environment: Record<string, string>
  user: string
}

const describeContainer = async (builder: Builder, stage: Stage): Promise<Container> => {
  const volume = lastOf(stage, 'VOLUME').words[0] ?? ''
  const declared = environmentOf(stage)
  if (declared.GATHERD_DATA_DIR !== volume) throw new Error('the data directory is not the volume')
  const environment = {
    ...declared,
    PATH: builder.path,
    HOME: '/',
    GATHERD_DATA_DIR: builder.inStage(stage.name, volume),
    GATHERD_PORT: String(await findFreePort()),
  }
  const folder = builder.inStage(stage.name, lastOf(stage, 'WORKDIR').words[0] ?? '/')
  return { stage, folder, environment, user: lastOf(stage, 'USER').words[0] ?? '' }
}

const start = ({ stage, folder, environment, user }: Container): ChildProcess => {
  const [command = '', ...rest] = [...asUser(user), ...lastOf(stage, 'CMD').words]
  return spawn(command, rest, { cwd: folder, env: environment, stdio: ['ignore', 'inherit', 'inherit'] })
}

/** Runs the health check once; true when it exits with 0. */
const isHealthy = ({ stage, folder, environment, user }: Container): boolean => {
  const [command = '', ...rest] = [...asUser(user), ...healthCheckOf(stage)]
  return (
    spawnSync(command, rest, { cwd: folder, env: environment, stdio: 'ignore', timeout: 10_000 }).status === 0
  )
}

const waitUntilHealthy = async (container: Container, server: ChildProcess): Promise<boolean> => {
  const end = Date.now() + READY_MS_MAX
  while (Date.now() < end && server.exitCode === null && server.signalCode === null) {
    if (isHealthy(container)) return true
    await sleep(200)
  }
  return false
}

const callJson = async (
  method: string,
  url: string,
  body: object,
): Promise<{ status: number; text: string }> => {
  const headers = { 'content-type': 'application/json' }
  const answer = await fetch(url, {
    method,
    headers,
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  })
  return { status: answer.status, text: await answer.text() }
}

const useServer = async (container: Container, server: ChildProcess): Promise<void> => {
  const uids = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))?.[1] ?? ''
  const uid = container.user.split(':')[0] ?? ''
  check(`it runs as user ${uid}`, uids.split(/\s+/).every((each) => each === uid) && uid !== '0', uids)

  const table = `http://127.0.0.1:${container.environment.GATHERD_PORT}/v1/tables/container`
  const put = await callJson('PUT', table, {
    values: [
      [1, 2, 3],
      [4.5, -5, 6],
      [7, 8, 9],
    ],
  })
  check('a table is created', put.status === 201, `${put.status} ${put.text}`)
  const lookup = await callJson('POST', `${table}/lookup`, { indices: [1, 0] })
  const embeddings =
    lookup.status === 200 ? (JSON.parse(lookup.text) as { embeddings?: unknown }).embeddings : undefined
  check(
    'a lookup answers its rows',
    JSON.stringify(embeddings) === '[[4.5,-5,6],[1,2,3]]',
    `${lookup.status} ${lookup.text}`,
  )
}

const stop = async (container: Container, server: ChildProcess): Promise<void> => {
  const signal = lastOf(container.stage, 'STOPSIGNAL').words[0] as NodeJS.Signals
  const timer = setTimeout(() => server.kill('SIGKILL'), STOP_MS_MAX)
  const ended =
    server.exitCode === null && server.signalCode === null ? once(server, 'exit') : Promise.resolve()
  server.kill(signal)
  await ended
  clearTimeout(timer)
  check(`${signal} ends it with 0`, server.exitCode === 0, `${server.exitCode ?? server.signalCode}`)
  check('the health check fails once it is gone', !isHealthy(container))
}

const runContainer = async (builder: Builder, stages: Stage[]): Promise<void> => {
  for (const stage of stages) builder.build(stage)
  const stage = stages.at(-1)
  if (stage === undefined) throw new Error('the Dockerfile has no stage')
  check('the steps of the Dockerfile run in a clean folder', true)

  const container = await describeContainer(builder, stage)
  const packages = join(container.folder, 'node_modules')
  check(
    'it has the production packages only',
    existsSync(join(packages, 'fastify')) && !existsSync(join(packages, 'vitest')),
  )
  const server = start(container)
  try {
    const healthy = await waitUntilHealthy(container, server)
    check('the health check passes', healthy)
    if (healthy) await useServer(container, server)
  } finally {
    await stop(container, server)
  }
}

const builder = new Builder()
try {
  await runContainer(builder, parseDockerfile(readFileSync(join(ROOT, 'Dockerfile'), 'utf8')))
} catch (error) {
  check('the container runs', false, error instanceof Error ? error.message : String(error))
} finally {
  rmSync(builder.folder, { recursive: true, force: true })
}
const failed = results.filter((holds) => !holds).length
console.log(
  'The image itself is unverified: these were its steps, its command and its health check, without a container engine.',
)
console.log(`${results.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
