import { buildApp } from '../../../src/http/app.ts'
import type { App } from '../../../src/http/context.ts'
import { putTable } from '../../helpers/keeper.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { TABLES } from './requests.ts'

/** Two servers over the same tables. */
export interface Servers {
  service: Service
  lane: App
  plain: App
  close: () => Promise<void>
}

/** Rows that are known apart: row i of a table of `dim` numbers is i, i + 1/4, i + 2/4, ... */
export const rowOf = (row: number, dim: number): number[] => Array.from({ length: dim }, (_, column) => row + column / 4)

/** Starts them, with eight rows in each of the tables that requests ask. */
export const startServers = async (): Promise<Servers> => {
  const service = await startService({ logLevel: 'silent', lane: true })
  const { keeper } = service.context
  const values = Array.from({ length: 8 }, (_, row) => rowOf(row, 4)).flat()
  for (const name of TABLES.slice(0, -1)) {
    const dtype = name === 'half' ? 'float16' : name === 'bytes' ? 'int8' : 'float32'
    await putTable(keeper, { name, rows: 8, dim: 4, dtype, ...(dtype === 'float32' && { values }) })
  }
  await putTable(keeper, { name: 'lookup', rows: 8, dim: 4, values: values.map((value) => -value) })
  const plain = await buildApp(service.context)
  return {
    service,
    lane: service.app,
    plain,
    close: async () => {
      await plain.close()
      await service.close()
    },
  }
}
