/** `gatherd rm` deletes a table. */
import { callService } from './client.ts'
import { type Command, DONE, FAILED, URL_OPTION } from './command.ts'
import { UsageError } from './errors.ts'

/** The command `gatherd rm`. */
export const rmCommand: Command = {
  usage: 'TABLE',
  arguments: [1, 1],
  summary: 'Deletes a table',
  options: { yes: { help: 'deletes without asking' }, url: URL_OPTION },
  run: async ({ positionals: [table], values, service, terminal }) => {
    if (values.yes !== true) {
      if (terminal.ask === null)
        throw new UsageError('standard input is not a terminal, so nobody can confirm: pass --yes to delete')
      if (!(await terminal.ask(`Delete table ${table} with all its versions? [y/N] `))) return FAILED
    }
    const answer = await callService(service, {
      method: 'DELETE',
      path: `v1/tables/${encodeURIComponent(table)}`,
    })
    answer.resume()
    terminal.print(`${table}: deleted\n`)
    return DONE
  },
}
