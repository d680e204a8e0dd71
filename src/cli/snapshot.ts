/** `gatherd snapshot` makes a service write snapshots now. */
import { callForJson } from './client.ts'
import { type Command, DONE, URL_OPTION } from './command.ts'

/** The command `gatherd snapshot`. */
export const snapshotCommand: Command = {
  usage: '',
  arguments: [0, 0],
  summary: 'Writes a snapshot of every changed table now and prints, in JSON, what was written',
  options: { url: URL_OPTION },
  run: async ({ service, terminal }) => {
    terminal.print(
      `${JSON.stringify(await callForJson(service, { method: 'POST', path: 'v1/snapshots' }))}\n`,
    )
    return DONE
  },
}
