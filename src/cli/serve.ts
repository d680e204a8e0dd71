/** `gatherd serve` runs the service in this process. */
import { type Command, DONE, readText } from './command.ts'

/** The command `gatherd serve`. */
export const serveCommand: Command = {
  usage: '',
  arguments: [0, 0],
  summary: 'Serves until SIGTERM or Ctrl-C',
  description:
    'Settings come from the environment: GATHERD_PORT, GATHERD_DATA_DIR and the others of ' +
    'docs/reference/configuration.md.',
  options: {
    recover: {
      value: 'before-damage',
      help: 'goes back to the state before damage, instead of refusing to start, and reports what is lost',
    },
  },
  run: async ({ values }) => {
    const recover = readText(values, 'recover')
    // main.ts reads the command line itself and knows no commands.
    process.argv.splice(2, Infinity, ...(recover === undefined ? [] : [`--recover=${recover}`]))
    await import('../main.ts')
    return DONE
  },
}
