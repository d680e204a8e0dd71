/** Runs a command of the CLI inside the test process, with a terminal that records what it prints. */

import type { Terminal } from '../../src/cli/command.ts'
import { runCommandLine } from '../../src/cli/run.ts'

/** The texts that a command wrote, and its exit code. */
export interface CommandResult {
  code: number
  printed: string
  reported: string
}

/**
 * Runs a command in this process. `changes` can make the terminal interactive or give it a user who answers.
 */
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
