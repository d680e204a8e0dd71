import { callForJson } from './client.ts'
import { type Command, DONE, URL_OPTION } from './command.ts'

/** `gatherd snapshot`. */
export const snapshotCommand: Command = {
  usage: '',
  arguments: [0, 0],
  summary: 'Writes a snapshot of every table now, and prints what was written, in JSON',
  options: { url: URL_OPTION },
  run: async ({ service, terminal }) => {
    terminal.print(
      `${JSON.stringify(await callForJson(service, { method: 'POST', path: 'v1/snapshots' }))}\n`,
    )
    return DONE
  },
}
