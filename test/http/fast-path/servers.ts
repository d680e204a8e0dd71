import type { App, Health } from '../../../src/http/context.ts'
import { putTable, readTable } from '../../helpers/writer.ts'
import { type Service, startService } from '../../helpers/service.ts'
import { TABLES, UPDATED } from './request-drafts.ts'

/** Two services with equal tables. */
export interface Servers {
  service: Service
  fastPath: App
  plain: App
  /** Whether a call to a writer is pending. */
  isBusy: () => boolean
  /** Puts both services into a state, as their owner would. */
  setState: (state: Health['state']) => void
  /** The updated tables of each: rows, and how many updates there were. */
  readUpdated: () => { fastPath: unknown; plain: unknown }
  close: () => Promise<void>
}

/** The distinct row i of a table of `dim` columns: i, i + 1/4, i + 2/4, ... */
export const rowOf = (row: number, dim: number): number[] =>
  Array.from({ length: dim }, (_, column) => row + column / 4)

const putTables = async ({ context: { writer } }: Service): Promise<void> => {
  const values = Array.from({ length: 8 }, (_, row) => rowOf(row, 4)).flat()
  for (const name of TABLES.slice(0, -1)) {
    const dtype = name === 'half' ? 'float16' : name === 'bytes' ? 'int8' : 'float32'
    await putTable(writer, { name, rows: 8, dim: 4, dtype, ...(dtype === 'float32' && { values }) })
  }
  await putTable(writer, { name: 'lookup', rows: 8, dim: 4, values: values.map((value) => -value) })
  const settings = { durability: 'none', optimizer: { kind: 'sgd', learning_rate: 1 } } as const
  for (const name of UPDATED) await putTable(writer, { name, rows: 8, dim: 4, settings })
}

const readUpdated = ({ context: { writer } }: Service) =>
  UPDATED.map((name) => ({
    rows: readTable(writer, name),
    sequence: writer.registry.find(name).current.readSequence(),
  }))

/** Starts both services, with eight rows in each table that the requests name. */
export const startServers = async (): Promise<Servers> => {
  const service = await startService({ logLevel: 'silent', fastPath: true })
  const plain = await startService({ logLevel: 'silent' })
  await putTables(service)
  await putTables(plain)
  let callCount = 0
  for (const { writer } of [service.context, plain.context]) {
    const call = writer.call.bind(writer)
    writer.call = (...parts) => {
      callCount++
      return call(...parts).finally(() => callCount--)
    }
  }
  return {
    service,
    fastPath: service.app,
    plain: plain.app,
    isBusy: () => callCount > 0,
    setState: (state) => {
      for (const { health } of [service.context, plain.context])
        Object.assign(health, { state, reason: `the service is ${state}` })
    },
    readUpdated: () => ({ fastPath: readUpdated(service), plain: readUpdated(plain) }),
    close: async () => {
      await plain.close()
      await service.close()
    },
  }
}
