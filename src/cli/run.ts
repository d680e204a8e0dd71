/** Runs one command of the command line and reports its failure. */
import { createInterface } from 'node:readline/promises'
import { suggestName } from '../core/suggest-name.ts'
import { version } from '../version.ts'
import { openService, readServiceUrl, type Service } from './client.ts'
import { type Command, DONE, FAILED, MISUSED, parseWords, readText, type Terminal } from './command.ts'
import { CallError, UsageError } from './errors.ts'
import { alignColumns, wrapText } from './formatting.ts'
import { getCommand } from './get.ts'
import { lookupCommand } from './lookup.ts'
import { lsCommand } from './ls.ts'
import { putCommand } from './put.ts'
import { rmCommand } from './rm.ts'
import { serveCommand } from './serve.ts'
import { snapshotCommand } from './snapshot.ts'
import { verifyCommand } from './verify.ts'

const ADDRESS = '--url or GATHERD_URL names the service'

/** What to do about errors whose remedy is another command line. The messages of others say it themselves. */
const REMEDIES: Readonly<Record<string, string>> = {
  TABLE_NOT_FOUND: 'gatherd ls lists the tables',
  ROUTE_NOT_FOUND: ADDRESS,
  ECONNREFUSED: `gatherd serve starts one, and ${ADDRESS}`,
  ENOTFOUND: ADDRESS,
  EAI_AGAIN: ADDRESS,
  EPROTO: 'gatherd itself speaks http:// only',
}

/** The length of a line of help behind an option. */
const HELP_LENGTH = 72

const COMMANDS: Readonly<Record<string, Command>> = {
  serve: serveCommand,
  put: putCommand,
  get: getCommand,
  ls: lsCommand,
  rm: rmCommand,
  lookup: lookupCommand,
  snapshot: snapshotCommand,
  verify: verifyCommand,
}

/**
 * Runs the command that `words` name (`put user user.npy`) and resolves to its exit code. A failure is one
 * line on standard error.
 */
export const runCommandLine = async (
  words: readonly string[],
  terminal: Terminal = openTerminal(),
): Promise<number> => {
  const [name, ...rest] = words
  if (name === '--version' || name === '-v') {
    terminal.print(`${version}\n`)
    return DONE
  }
  if (name === 'help' && rest.length === 1 && Object.hasOwn(COMMANDS, rest[0])) {
    return runCommandLine([rest[0], '--help'], terminal)
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const print = name === undefined ? terminal.report : terminal.print
    print(describeCommands(COMMANDS))
    return name === undefined ? MISUSED : DONE
  }
  if (!Object.hasOwn(COMMANDS, name)) {
    terminal.report(
      `gatherd: there is no command ${JSON.stringify(name)}${suggestName(name, [...Object.keys(COMMANDS), '--help', '--version'])}; gatherd --help lists them\n`,
    )
    return MISUSED
  }
  return runCommand(name, rest, terminal)
}

const runCommand = async (name: string, words: readonly string[], terminal: Terminal): Promise<number> => {
  const command = COMMANDS[name]
  let service: Service | null = null
  try {
    const { positionals, values } =
      command.readsWords === true
        ? { positionals: [], values: { help: words.includes('--help') || words.includes('-h') } }
        : parseWords(command, words)
    if (values.help === true) {
      terminal.print(describeCommand(name, command))
      return DONE
    }
    service = openService(readText(values, 'url') ?? readServiceUrl())
    return await command.run({ positionals, values, words, service, terminal })
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.report(`gatherd ${name}: ${error.message}; gatherd ${name} --help says more\n`)
      return MISUSED
    }
    const isExpected = error instanceof CallError || (error as NodeJS.ErrnoException).code !== undefined
    if (!isExpected) throw error
    const remedy = error instanceof CallError ? REMEDIES[error.code] : undefined
    terminal.report(
      `gatherd ${name}: ${(error as Error).message}${remedy === undefined ? '' : `; ${remedy}`}\n`,
    )
    return FAILED
  } finally {
    service?.agent.destroy()
  }
}

const openTerminal = (): Terminal => {
  process.stdout.on('error', ({ code, message }: NodeJS.ErrnoException) => {
    // A reader that has seen enough closes the pipe (`| head`).
    if (code === 'EPIPE') return
    process.stderr.write(`gatherd: the output cannot be written: ${message}\n`)
    process.exit(FAILED)
  })
  return {
    print: (text) => void process.stdout.write(text),
    report: (text) => void process.stderr.write(text),
    isWatched: process.stderr.isTTY === true,
    ask: process.stdin.isTTY ? askOnTerminal : null,
  }
}

const askOnTerminal = async (question: string): Promise<boolean> => {
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return /^y(es)?$/i.test((await lines.question(question)).trim())
  } finally {
    lines.close()
  }
}

/** The help texts, derived from the commands' descriptions. */

/** Returns the help of one command. */
const describeCommand = (name: string, { usage, summary, description, options }: Command): string => {
  const rows = Object.entries(options).flatMap(([option, { value, help }]) => {
    const [first, ...others] = wrapText(help, HELP_LENGTH)
    return [
      [`  --${option}${value === undefined ? '' : ` ${value}`}`, first],
      ...others.map((line) => ['', line]),
    ]
  })
  const head = ['Usage: gatherd', name, usage, rows.length > 0 ? '[options]' : '']
    .filter((word) => word !== '')
    .join(' ')
  const parts = [
    head,
    `${summary}.${description === undefined ? '' : `\n${description}`}`,
    alignColumns(rows).trimEnd(),
  ]
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`
}

/** Returns the help of `gatherd` itself, which lists all commands. */
const describeCommands = (commands: Readonly<Record<string, Command>>): string => {
  const rows = Object.entries(commands).map(([name, { usage, summary }]) => [
    `  gatherd ${name} ${usage}`.trimEnd(),
    summary,
  ])
  return `An embedding lookup service, and commands for a running one.

${alignColumns(rows)}
Each command has a --help.
Exit codes: 0 done, 1 failed, 2 wrong usage; for verify also 3, when a start would refuse.
`
}
