/** `gatherd serve` runs the service in this process. */
import { SETTINGS } from '../config.ts'
import { describeValues, optionOf, placeholderOf, printQuantity } from '../settings.ts'
import { type Command, type CommandOption, DONE } from './command.ts'

/** The setting of crash tests. It works as an option, but helps nobody who reads the help. */
const HIDDEN = 'GATHERD_FAILPOINT'

const describeOptions = (): Record<string, CommandOption> =>
  Object.fromEntries(
    Object.entries(SETTINGS)
      .filter(([name]) => name !== HIDDEN)
      .map(([name, schema]) => {
        const { type, description, default: preset } = schema
        const isText = type === 'string' && schema.enum === undefined
        const shown = typeof preset === 'number' ? printQuantity(name, preset) : preset
        const help = [
          description,
          isText ? undefined : describeValues(name, schema),
          preset === undefined ? undefined : `default: ${shown}`,
        ]
        const value = placeholderOf(name, schema)
        return [
          optionOf(name).slice(2),
          { value, help: help.filter((part) => part !== undefined).join('; ') },
        ]
      }),
  )

/** The command `gatherd serve`. */
export const serveCommand: Command = {
  usage: '',
  arguments: [0, 0],
  summary: 'Serves until SIGTERM or Ctrl-C',
  description:
    'Every setting is an option and an environment variable: --http-threads 2 is GATHERD_HTTP_THREADS=2.\n' +
    'An option overrides the variable, which overrides the default.',
  options: describeOptions(),
  readsWords: true,
  run: async ({ words }) => {
    const { serve } = await import('../main.ts')
    await serve(words)
    return DONE
  },
}
