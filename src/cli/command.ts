/**
 * What every command is made of: its description, its parsed words and the terminal, and how words are
 * parsed.
 */
import { parseArgs } from 'node:util'
import { suggestPrefixed } from '../core/suggest-name.ts'
import { readQuantity } from '../settings.ts'
import type { Service } from './client.ts'
import { UsageError } from './errors.ts'

/** Exit codes of every command. `serve` and `verify` have one more: 3, when a start refuses the data. */
export const DONE = 0
export const FAILED = 1
export const MISUSED = 2

export interface CommandOption {
  /** The placeholder for the value in the help. An option without one is a flag. */
  value?: string
  /** Whether the option may be given several times. */
  many?: boolean
  help: string
}

/** The terminal that a command writes to and asks questions on. */
export interface Terminal {
  /** Writes to standard output. */
  print: (text: string) => void
  /** Writes to standard error. */
  report: (text: string) => void
  /** Whether standard error is a terminal, so that a line may be redrawn. */
  isWatched: boolean
  /** Asks a yes-or-no question; null when standard input is not a terminal. */
  ask: ((question: string) => Promise<boolean>) | null
}

export type OptionValues = Readonly<Record<string, string | boolean | (string | boolean)[] | undefined>>

export interface CommandInput {
  /** The arguments; their number is within `Command.arguments`. */
  positionals: string[]
  values: OptionValues
  /** The command line behind the command's name. */
  words: readonly string[]
  service: Service
  terminal: Terminal
}

export interface Command {
  /** The arguments as the help shows them. */
  usage: string
  /** The least and the largest number of arguments. */
  arguments: readonly [number, number]
  /** What the command does, in half a line. */
  summary: string
  /** More about the command, which only its own help shows. */
  description?: string
  options: Readonly<Record<string, CommandOption>>
  /** Whether the command reads its words itself. Only --help is looked for, then. */
  readsWords?: true
  /**
   * Runs the command and resolves to its exit code. Throws {@link UsageError}, `CallError`, or an error of
   * the system.
   */
  run: (input: CommandInput) => Promise<number>
}

export const URL_OPTION: CommandOption = {
  value: 'URL',
  help: 'the service; default: GATHERD_URL, else http://127.0.0.1:8080',
}
export const JSON_OPTION: CommandOption = { help: 'prints JSON, for programs' }

/** Parses `words`, the command line after the command's name. Throws {@link UsageError}. */
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
    // parseArgs would read the id -1 as an option. With a blank before it, it reads an argument.
    const args = words.map((word) => (/^-\d/.test(word) ? ` ${word}` : word === '-h' ? '--help' : word))
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
    throw new UsageError(explainParseError(error, Object.keys(options)))
  }
}

/** Says what is wrong with an option. An error that is not one of parseArgs is thrown on. */
const explainParseError = (error: unknown, options: readonly string[]): string => {
  const { code, message } = error as NodeJS.ErrnoException
  const option = /'(?:-\w, )?(--?[^' =]*)/.exec(message)?.[1] ?? ''
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const known = options.map((name) => `--${name}`)
    return `there is no option ${option}${suggestPrefixed('--', option, known)}`
  }
  if (code !== 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE') throw error
  return message.includes('does not take') ? `${option} takes no value` : `${option} needs a value behind it`
}

/** Returns the text of an option, or undefined when the option was not given. */
export const readText = (values: OptionValues, name: string): string | undefined => {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

/** Returns the value of an option that is a whole number of at least `least`. Throws {@link UsageError}. */
export const readCount = (values: OptionValues, name: string, least: number): number | undefined => {
  const text = readText(values, name)
  if (text === undefined) return undefined
  const count = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < least) {
    throw new UsageError(`--${name} is a whole number from ${least} on, not ${JSON.stringify(text)}`)
  }
  return count
}

/** Returns the value of an option that is a size: `16777216`, `16MiB`. Throws {@link UsageError}. */
export const readBytes = (values: OptionValues, name: string): number | undefined => {
  const text = readText(values, name)
  if (text === undefined) return undefined
  const bytes = Number(readQuantity('_BYTES', text))
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes
  throw new UsageError(`--${name} is a size, such as 16MiB or 4GB, not ${JSON.stringify(text)}`)
}

/** Returns the value of an option that is one of `words`. Throws {@link UsageError}. */
export const readChoice = <Word extends string>(
  values: OptionValues,
  name: string,
  words: readonly Word[],
): Word | undefined => {
  const text = readText(values, name)
  if (text === undefined || words.includes(text as Word)) return text as Word | undefined
  throw new UsageError(`--${name} is one of ${words.join(', ')}, not ${JSON.stringify(text)}`)
}
