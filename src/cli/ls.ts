/** `gatherd ls` lists the tables of a service. */
import type { TableInfo } from '../core/types.ts'
import { callForJson } from './client.ts'
import { alignColumns, formatBytes } from './formatting.ts'
import { type Command, DONE, JSON_OPTION, URL_OPTION } from './command.ts'

/** The command `gatherd ls`. */
export const lsCommand: Command = {
  usage: '',
  arguments: [0, 0],
  summary: 'Lists the tables',
  options: { url: URL_OPTION, json: JSON_OPTION },
  run: async ({ values, service, terminal }) => {
    const tables: TableInfo[] = []
    let cursor: string | undefined
    do {
      const page = await callForJson<{ tables: TableInfo[]; next: string | null }>(service, {
        method: 'GET',
        path: 'v1/tables',
        query: { limit: 1000, cursor },
      })
      tables.push(...page.tables)
      cursor = page.next ?? undefined
    } while (cursor !== undefined)
    terminal.print(values.json === true ? `${JSON.stringify({ tables })}\n` : printTables(tables))
    return DONE
  },
}

const printTables = (tables: readonly TableInfo[]): string => {
  const head = ['NAME', 'VERSION', 'ROWS x DIM', 'DTYPE', 'BYTES', 'DURABILITY']
  const rows = tables.map(({ name, version, rows, dim, dtype, bytes, durability }) => [
    name,
    String(version),
    `${rows} x ${dim}`,
    dtype,
    formatBytes(bytes),
    durability,
  ])
  return alignColumns([head, ...rows], [1, 2, 4])
}
