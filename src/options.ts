/** Reads settings from the command line of `gatherd serve` and `npm start`: every setting is an option. */
import { suggestPrefixed } from './core/suggest-name.ts'
import { optionOf } from './settings.ts'

/** Settings by the names of their environment variables, and the mistakes among the options. */
export interface GivenOptions {
  values: Readonly<Record<string, string>>
  problems: readonly string[]
}

/**
 * Reads the options that set `names`, as `--port 9000` or `--port=9000`. The last of equal ones counts. It
 * goes on after a mistake, which `parseArgs` of Node does not, so that all are named at once.
 */
export const readOptions = (words: readonly string[], names: readonly string[]): GivenOptions => {
  const byOption = new Map(names.map((name) => [optionOf(name), name]))
  const values: Record<string, string> = {}
  const problems: string[] = []
  const rest = [...words]
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, option = word, inline] = /^(--[^=]*)=(.*)$/s.exec(word) ?? []
    // A word that is no option itself is taken as the value, also behind an option that does not exist.
    const takesNext = inline === undefined && option.startsWith('-') && rest.length > 0 && !isOption(rest[0])
    const value = takesNext ? rest.shift() : inline
    const name = byOption.get(option)
    if (!option.startsWith('-'))
      problems.push(`${JSON.stringify(word)} is not an option; a setting is given as in --port 9000`)
    else if (name === undefined)
      problems.push(
        `there is no option ${option}${suggestPrefixed('--', option, [...byOption.keys()])}; ` +
          'gatherd serve --help lists them',
      )
    else if (value === undefined) problems.push(`${option} needs a value behind it`)
    else values[name] = value
  }
  return { values, problems }
}

const isOption = (word: string): boolean => /^-(?!\d)/.test(word)
