import { assert } from '../core/assert.ts'
import type { ElementType } from '../core/types.ts'
import type { KeeperClient } from '../keeper/client.ts'
import type { TableVersion } from '../tables/table.ts'
import { planExport } from './plan.ts'
import type { ExportFormat, ExportPart, ExportPlan } from './plan.ts'
import { copyRows, patchRows } from './stored-rows.ts'

/** What exporting needs of the line to the keeper. */
export type ExportLine = Pick<KeeperClient, 'call'>

/** A table on its way out. All of it is the table as it was at `sequence`, whatever is updated meanwhile. */
export interface TableExport {
  version: number
  sequence: number
  contentLength: number
  elementType: ElementType
  shape: number[]
  /** To be read once, or closed: until then the version cannot be freed, and the keeper remembers what updates overwrite. */
  body: ExportBody
}

/** How many bytes of rows are read at once. */
const CHUNK_BYTES = 1024 * 1024

/**
 * Begins to export a version, in its storage dtype. Pins it until the body has ended, failed or was closed.
 * Refuses NOT_ACCEPTABLE when the format cannot carry the dtype, TABLE_NOT_FOUND or VERSION_NOT_FOUND when the version has just been
 * given up. Reading the body fails with OVERLOADED when updates overwrite more than the keeper keeps for an export.
 */
export const exportTable = async (keeper: ExportLine, name: string, version: TableVersion, format: ExportFormat): Promise<TableExport> => {
  const plan = planExport(version.handle, format)
  version.pin()
  try {
    const number = version.handle.version
    const { exportId, sequence } = await keeper.call('beginExport', { name, version: number, withState: false })
    const { contentLength, elementType, shape } = plan
    return { version: number, sequence, contentLength, elementType, shape, body: new ExportBody(keeper, version, plan, exportId) }
  } catch (error) {
    version.unpin()
    throw error
  }
}

/**
 * The bytes of an export: header, then rows in chunks of their own memory. An iterator by hand and not a generator, since the `return`
 * of a generator that never began does nothing, and a client may leave before the first byte.
 */
export class ExportBody implements AsyncIterableIterator<Buffer> {
  readonly #keeper: ExportLine
  readonly #version: TableVersion
  readonly #exportId: number
  readonly #parts: readonly ExportPart[]
  #header: Uint8Array | null
  #part = 0
  #row = 0
  #isOpen = true

  constructor(keeper: ExportLine, version: TableVersion, plan: ExportPlan, exportId: number) {
    this.#keeper = keeper
    this.#version = version
    this.#exportId = exportId
    this.#parts = plan.parts
    this.#header = plan.header.length > 0 ? plan.header : null
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next chunk. One at a time. */
  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const header = this.#header
    this.#header = null
    if (header !== null) return { done: false, value: Buffer.from(header) }
    try {
      const chunk = this.#isOpen ? await this.#readChunk() : null
      if (chunk !== null) return { done: false, value: chunk }
    } catch (error) {
      await this.return()
      throw error
    }
    return this.return()
  }

  /** Ends the export, read to its end or not. Ending it again does nothing. */
  async return(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#isOpen) {
      this.#isOpen = false
      this.#version.unpin()
      // Only a closed line refuses this, and then the keeper ends the export by itself.
      await this.#keeper.call('endExport', { exportId: this.#exportId }).catch(() => null)
    }
    return { done: true, value: undefined }
  }

  /**
   * Copies the next rows as they are, then puts the old ones in the place of those that updates have changed since the export began.
   *
   * Why that is exactly the table at its sequence S: the keeper, which writes alone and answers between writes, keeps what a row was at S
   * before it first overwrites it. When it answers it has therefore kept every row that was touched before the answer, hence every
   * row that was touched before or during the copy, which was over when it was asked: those are replaced whole, half-written ones too.
   * Any other row was not written between S and the copy. The lock word could spare the question, but not on every machine: nothing
   * orders plain copies before a later reading of it, while a message and its answer do.
   */
  async #readChunk(): Promise<Buffer | null> {
    const { rows } = this.#version.handle
    const { rowBytes } = this.#version
    if (this.#row === rows) {
      this.#part += 1
      this.#row = 0
    }
    if (rows === 0 || this.#part >= this.#parts.length) return null
    const part = this.#parts[this.#part]
    assert(part.from + part.byteCount <= rowBytes, 'a part is within the row')
    const firstRow = this.#row
    const rowCount = Math.min(rows - firstRow, Math.max(1, Math.floor(CHUNK_BYTES / rowBytes)))
    this.#row += rowCount
    const stored = copyRows(this.#version.handle, firstRow, rowCount)
    patchRows(stored, firstRow, rowBytes, await this.#keeper.call('readPreimages', { exportId: this.#exportId, of: 'rows', firstRow, rowCount }))
    return part.byteCount === rowBytes ? stored : cutRows(stored, rowCount, rowBytes, part)
  }
}

/** One part of each row, packed. */
const cutRows = (stored: Buffer, rowCount: number, rowBytes: number, { from, byteCount }: ExportPart): Buffer => {
  const cut = Buffer.allocUnsafeSlow(rowCount * byteCount)
  for (let i = 0; i < rowCount; i++) stored.copy(cut, i * byteCount, i * rowBytes + from, i * rowBytes + from + byteCount)
  return cut
}
