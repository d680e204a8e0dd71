/** The table `user`, which the tests of exports create and export. */

import type { Dtype } from '../../src/core/types.ts'
import { type ExportWriter, exportTable, type TableExport } from '../../src/export/export.ts'
import type { FormatName } from '../../src/formats/format.ts'
import type { WriterClient } from '../../src/writer/client.ts'
import { Arena } from '../../src/tables/arena.ts'
import { createTable } from '../../src/upload/create.ts'

const arena = new Arena(8 * 1024 * 1024)

/** Creates or replaces the table `user`. */
export const putUser = (
  client: WriterClient,
  rows: number,
  dim: number,
  dtype: Dtype,
  values: Float32Array,
) =>
  createTable(client, arena, {
    name: 'user',
    rows,
    dim,
    dtype,
    source: { values },
    settings: {},
    precondition: {},
  })

/**
 * Begins to export the current version of `user`. `line` replaces the connection of the client to the writer.
 */
export const exportUser = (
  client: WriterClient,
  format: FormatName,
  line: ExportWriter = client,
): Promise<TableExport> => exportTable(line, 'user', client.registry.find('user').current, format)

export const readBody = async (body: AsyncIterable<Buffer>): Promise<Buffer> =>
  Buffer.concat(await Array.fromAsync(body))

/** A copy, so that it is aligned. */
export const asFloats = (bytes: Uint8Array): Float32Array => new Float32Array(new Uint8Array(bytes).buffer)
