/** The help texts, derived from the commands' descriptions. */
import { alignColumns } from './formatting.ts'
import type { Command } from './command.ts'

/** Returns the help of one command. */
export const describeCommand = (name: string, { usage, summary, description, options }: Command): string => {
  const rows = Object.entries(options).map(([option, { value, help }]) => [
    `  --${option}${value === undefined ? '' : ` ${value}`}`,
    help,
  ])
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
export const describeCommands = (commands: Readonly<Record<string, Command>>): string => {
  const rows = Object.entries(commands).map(([name, { usage, summary }]) => [
    `  gatherd ${name} ${usage}`.trimEnd(),
    summary,
  ])
  return `An embedding lookup service, and commands for a running one.

${alignColumns(rows)}
Each command has a --help.
Exit codes: 0 done, 1 failed, 2 wrong usage; for serve and verify also 3, when a start refuses the data.
`
}
