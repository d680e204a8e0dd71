import { type Command, DONE, readText } from './command.ts'

/** `gatherd serve`. */
export const serveCommand: Command = {
  usage: '',
  arguments: [0, 0],
  summary: 'Serves until SIGTERM or Ctrl-C',
  description:
    'Settings come from the environment: GATHERD_PORT, GATHERD_DATA_DIR and the others of docs/reference/configuration.md.',
  options: {
    recover: {
      value: 'before-damage',
      help: 'goes back to before damage that a start refuses; says what that loses',
    },
  },
  run: async ({ values }) => {
    const recover = readText(values, 'recover')
    // The service reads its command line itself, and has no commands.
    process.argv.splice(2, Infinity, ...(recover === undefined ? [] : [`--recover=${recover}`]))
    await import('../main.ts')
    return DONE
  },
}
