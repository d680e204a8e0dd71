import { parseArgs } from 'node:util'
import type { Service } from './client.ts'
import { UsageError } from './errors.ts'

/** Exit codes of every command. `verify` has a further one: 3, when a start would refuse. */
export const DONE = 0
export const FAILED = 1
export const MISUSED = 2

export interface CommandOption {
  /** What stands for the value in the help. Missing: the option has none. */
  value?: string
  /** May be given several times. */
  many?: boolean
  help: string
}

/** What commands write to, and whom they may ask. */
export interface Terminal {
  /** To standard output. */
  print: (text: string) => void
  /** To standard error. */
  report: (text: string) => void
  /** Standard error is looked at by a person: lines may be redrawn. */
  isWatched: boolean
  /** Asks for yes or no; null where nobody can answer. */
  ask: ((question: string) => Promise<boolean>) | null
}

export type OptionValues = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

export interface CommandInput {
  /** As many as `Command.arguments` allows. */
  positionals: string[]
  values: OptionValues
  service: Service
  terminal: Terminal
}

export interface Command {
  /** The arguments, as the help shows them. */
  usage: string
  /** How many arguments there are: at least, at most. */
  arguments: readonly [number, number]
  /** What it does, in half a line. */
  summary: string
  /** More about it, for its own help. */
  description?: string
  options: Readonly<Record<string, CommandOption>>
  /** Resolves to the exit code. Throws {@link UsageError}, `CallError`, or an error of the system. */
  run: (input: CommandInput) => Promise<number>
}

export const URL_OPTION: CommandOption = {
  value: 'URL',
  help: 'the service; default: GATHERD_URL, else http://127.0.0.1:8080',
}
export const JSON_OPTION: CommandOption = { help: 'prints JSON, for programs' }

/** What `words`, the command's own part of the command line, say. Throws {@link UsageError}. */
export const parseWords = (
  command: Command,
  words: readonly string[],
): Pick<CommandInput, 'positionals' | 'values'> => {
  const options = Object.fromEntries(
    Object.entries({ ...command.options, help: { help: '' } } as Record<string, CommandOption>).map(
      ([name, { value, many = false }]) => [
        name,
        { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: many },
      ],
    ),
  )
  const parsed = parseOrRefuse(options, words)
  const { positionals } = parsed
  const [least, most] = command.arguments
  const asksForHelp = parsed.values.help === true
  if (!asksForHelp && positionals.length < least)
    throw new UsageError(`${command.usage.split(' ')[positionals.length]} is missing`)
  if (!asksForHelp && positionals.length > most)
    throw new UsageError(`${JSON.stringify(positionals[most])} is one argument too many`)
  return { positionals, values: parsed.values }
}

const parseOrRefuse = (
  options: Record<string, { type: 'boolean' | 'string'; multiple: boolean }>,
  words: readonly string[],
): Pick<CommandInput, 'positionals' | 'values'> => {
  try {
    // parseArgs would take -1, an id, for an option; with a blank before it, it is an argument.
    const args = words.map((word) => (/^-\d/.test(word) ? ` ${word}` : word))
    const { positionals, values } = parseArgs({ args, options, allowPositionals: true, strict: true })
    const restore = <Value>(value: Value) =>
      typeof value === 'string' ? value.replace(/^ (?=-\d)/, '') : value
    const restored = Object.entries(values).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(restore) : restore(value),
    ])
    return {
      positionals: positionals.map(restore) as string[],
      values: Object.fromEntries(restored) as OptionValues,
    }
  } catch (error) {
    if (!String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')) throw error
    throw new UsageError((error as Error).message.split(/\.?\n|\. /)[0])
  }
}

/** The text of an option; undefined where it was not given. */
export const readText = (values: OptionValues, name: string): string | undefined => {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

/** A whole number of at least `least`. Throws {@link UsageError}. */
export const readCount = (values: OptionValues, name: string, least: number): number | undefined => {
  const text = readText(values, name)
  if (text === undefined) return undefined
  const count = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < least) {
    throw new UsageError(`--${name} is a whole number from ${least}, not ${JSON.stringify(text)}`)
  }
  return count
}

/** One of `words`. Throws {@link UsageError}. */
export const readChoice = <Word extends string>(
  values: OptionValues,
  name: string,
  words: readonly Word[],
): Word | undefined => {
  const text = readText(values, name)
  if (text === undefined || words.includes(text as Word)) return text as Word | undefined
  throw new UsageError(`--${name} is ${words.join(', ')}, not ${JSON.stringify(text)}`)
}
