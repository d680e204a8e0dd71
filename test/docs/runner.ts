/**
 * Runs the blocks of the documentation as their readers do: shell blocks by bash, the Python blocks of a page
 * one after another in one interpreter. Only the origin of the service is replaced in them and, where CI is
 * not true, the seconds of the measurement of speed, which takes all cores.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import { IS_LONG } from '../helpers/property-runs.ts'
import { ROOT } from '../tidy/source.ts'

/** The origin that pages name. */
export const ORIGIN = 'http://127.0.0.1:8080'

/** Reads one program a line, as JSON; answers what it printed and the traceback, or null. */
const PYTHON_SESSION = `
import contextlib, io, json, sys, traceback
names, answers = {"__name__": "__main__"}, sys.stdout
for line in sys.stdin:
    printed, error = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(json.loads(line), "block", "exec"), names)
    except BaseException:
        error = traceback.format_exc()
    answers.write(json.dumps([printed.getvalue(), error]) + "\\n")
    answers.flush()
`

/** Runs blocks in a folder of their own, in which `npx gatherd` and `npx autocannon` are installed. */
export class BlockRunner {
  private readonly folder = mkdtempSync(join(tmpdir(), 'gatherd-blocks-'))
  private readonly environment: NodeJS.ProcessEnv
  private python: { child: ChildProcess; lines: Interface; answers: AsyncIterator<string> } | undefined

  private readonly origin: string
  private readonly pythonCommand: string | undefined

  /** `pythonCommand` is an interpreter with NumPy, requests and safetensors, if there is one. */
  constructor(origin: string, pythonCommand: string | undefined) {
    this.origin = origin
    this.pythonCommand = pythonCommand
    const commands = join(this.folder, 'commands')
    const installed = join(this.folder, 'node_modules/.bin')
    mkdirSync(commands)
    mkdirSync(installed, { recursive: true })
    symlinkSync(join(ROOT, 'bin/gatherd.mjs'), join(installed, 'gatherd'))
    symlinkSync(join(ROOT, 'node_modules/.bin/autocannon'), join(installed, 'autocannon'))
    if (pythonCommand !== undefined) {
      writeFileSync(join(commands, 'python3'), `#!/bin/sh\nexec ${pythonCommand} "$@"\n`)
      chmodSync(join(commands, 'python3'), 0o755)
    }
    // The shell finds the Python that has the packages; a wrapper that calls itself would never end.
    const path = pythonCommand === 'python3' ? '' : `${commands}:`
    const { PATH, HOME, PYTHONPATH } = process.env
    this.environment = { PATH: `${path}${PATH}`, HOME, PYTHONPATH, GATHERD_URL: origin }
  }

  /** What a shell block prints. Throws with all it said when a command of it fails. */
  runShell(text: string): Promise<string> {
    const child = spawn('bash', ['-euo', 'pipefail', '-c', this.place(text)], {
      cwd: this.folder,
      env: this.environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    return new Promise((resolve, reject) => {
      let printed = ''
      let errors = ''
      child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString()))
      child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
      child.once('error', reject)
      child.once('close', (code) =>
        code === 0 ? resolve(printed) : reject(new Error(`exit code ${code}\n${printed}\n${errors}`)),
      )
    })
  }

  /** What a Python block prints. It sees the names that the blocks before it have made. */
  async runPython(text: string): Promise<string> {
    this.python ??= this.startPython()
    this.python.child.stdin?.write(`${JSON.stringify(this.place(text))}\n`)
    const { value, done } = await this.python.answers.next()
    if (done === true) throw new Error('the interpreter has ended')
    const [printed, error] = JSON.parse(value as string) as [string, string | null]
    if (error !== null) throw new Error(error)
    return printed
  }

  /** Ends the interpreter, so that the next Python block begins a new one. */
  endPython(): void {
    this.python?.child.kill('SIGKILL')
    this.python?.lines.close()
    this.python = undefined
  }

  /** Ends what runs, and removes the folder. */
  close(): void {
    this.endPython()
    rmSync(this.folder, { recursive: true, force: true })
  }

  private place(text: string): string {
    const placed = text.replaceAll(ORIGIN, this.origin)
    return IS_LONG ? placed : placed.replace(/(npx autocannon [^;]*? -d )\d+/, '$11')
  }

  private startPython() {
    if (this.pythonCommand === undefined) throw new Error('there is no Python with the packages')
    const child = spawn(this.pythonCommand, ['-c', PYTHON_SESSION], {
      cwd: this.folder,
      env: this.environment,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface({ input: child.stdout })
    return { child, lines, answers: lines[Symbol.asyncIterator]() }
  }
}

/**
 * Whether a block prints what stands under it, where `...` stands for anything. White space in JSON does not
 * count; in text, any amount of it counts as one space.
 */
export const isAnswer = (printed: string, shown: string, kind: 'json' | 'text'): boolean => {
  const squeeze = (text: string): string => text.trim().replaceAll(/\s+/g, kind === 'json' ? '' : ' ')
  const pattern = squeeze(shown)
    .split('...')
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*')
  return new RegExp(`^${pattern}$`).test(squeeze(printed))
}
