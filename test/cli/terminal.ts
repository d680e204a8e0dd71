import type { Terminal } from '../../src/cli/command.ts'
import { runCommandLine } from '../../src/cli/run.ts'

/** What a command wrote, and its exit code. */
export interface CommandResult {
  code: number
  printed: string
  reported: string
}

/** Runs a command in this process. `changes` make the terminal another one: watched, or with somebody to ask. */
export const runCommand = async (
  words: readonly string[],
  changes: Partial<Terminal> = {},
): Promise<CommandResult> => {
  let printed = ''
  let reported = ''
  const terminal: Terminal = {
    print: (text) => {
      printed += text
    },
    report: (text) => {
      reported += text
    },
    isWatched: false,
    ask: null,
    ...changes,
  }
  const code = await runCommandLine(words, terminal)
  return { code, printed, reported }
}
