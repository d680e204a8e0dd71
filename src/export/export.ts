/**
 * Exports a table as a stream of bytes. All of it is the table at one sequence, whatever is updated
 * meanwhile.
 */
import { assert } from '../core/assert.ts'
import type { ElementType } from '../core/types.ts'
import type { FormatName } from '../formats/format.ts'
import type { WriterClient } from '../writer/client.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { checkStateFormat, planExport } from './plan.ts'
import type { ExportPart, ExportPlan } from './plan.ts'
import { type ExportSource, patchRows, readStateRows, readTableRows } from './source.ts'

/** The part of the connection to the writer that an export uses. */
export type ExportWriter = Pick<WriterClient, 'call'>

/** An export that has begun. Its body is the table as it was at `sequence`, whatever is updated meanwhile. */
export interface TableExport {
  version: number
  sequence: number
  /** The revision of the settings that the export includes with the state. */
  revision: number
  contentLength: number
  elementType: ElementType
  shape: number[]
  /**
   * The caller must read it to its end or close it. Until then the version cannot be freed, and the writer
   * keeps the pre-images of rows that updates overwrite.
   */
  body: ExportBody
}

/** Rows are read in chunks of about this many bytes. */
const CHUNK_BYTES = 1024 * 1024

/**
 * Begins to export a version in its storage dtype and, `withState`, the state of its optimizer at the same
 * sequence, which needs named arrays. The version is pinned until the body has ended, failed or was closed.
 * Refuses NOT_ACCEPTABLE when the format cannot carry the dtype, and TABLE_NOT_FOUND or VERSION_NOT_FOUND
 * when the version has just been freed. Reading the body fails with OVERLOADED when updates overwrite more
 * than the writer keeps for an export.
 */
export const exportTable = async (
  writer: ExportWriter,
  name: string,
  reader: TableReader,
  format: FormatName,
  withState = false,
): Promise<TableExport> => {
  const { handle } = reader
  const plan = planExport(handle, format)
  if (withState) checkStateFormat(format)
  reader.pin()
  try {
    const number = handle.version
    const { exportId, sequence, revision, state } = await writer.call('beginExport', {
      name,
      version: number,
      withState,
    })
    const { contentLength, elementType, shape, head, parts, tail } =
      state === null ? plan : planExport(handle, format, state)
    const sources = { rows: readTableRows(handle), state: state && readStateRows(state, handle.dim) }
    const body = new ExportBody(writer, reader, { head, parts, tail, sources }, exportId)
    return { version: number, sequence, revision, contentLength, elementType, shape, body }
  } catch (error) {
    reader.unpin()
    throw error
  }
}

/** The content of an export, in order: the head, parts of the rows of its sources, the tail. */
interface ExportContent extends Pick<ExportPlan, 'head' | 'parts' | 'tail'> {
  sources: { rows: ExportSource; state: ExportSource | null }
}

/**
 * Iterates over the bytes of an export: the head, chunks of rows (each in memory of its own), the tail. It is
 * a class and not a generator, because the `return` of a generator that never began does nothing, and a
 * client may leave before the first byte.
 */
export class ExportBody implements AsyncIterableIterator<Buffer> {
  readonly #writer: ExportWriter
  readonly #reader: TableReader
  readonly #exportId: number
  readonly #parts: readonly ExportPart[]
  readonly #sources: ExportContent['sources']
  /** The head and the tail. null: it has been written, or there is none. */
  #head: Uint8Array | null
  #tail: Uint8Array | null
  #part = 0
  #row = 0
  #isOpen = true

  constructor(
    writer: ExportWriter,
    reader: TableReader,
    { head, parts, tail, sources }: ExportContent,
    exportId: number,
  ) {
    this.#writer = writer
    this.#reader = reader
    this.#exportId = exportId
    this.#parts = parts
    this.#sources = sources
    this.#head = head.length > 0 ? head : null
    this.#tail = tail.length > 0 ? tail : null
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** Returns the next chunk. The caller must wait for it before the next call. */
  async next(): Promise<IteratorResult<Buffer, undefined>> {
    const head = this.#head
    this.#head = null
    if (head !== null) return { done: false, value: Buffer.from(head) }
    try {
      const chunk = this.#isOpen ? await this.#readChunk() : null
      if (chunk !== null) return { done: false, value: chunk }
      const tail = this.#isOpen ? this.#tail : null
      this.#tail = null
      if (tail !== null) return { done: false, value: Buffer.from(tail) }
    } catch (error) {
      await this.return()
      throw error
    }
    return this.return()
  }

  /** Ends the export, whether or not it was read to its end. Ending it again does nothing. */
  async return(): Promise<IteratorResult<Buffer, undefined>> {
    if (this.#isOpen) {
      this.#isOpen = false
      this.#reader.unpin()
      // Only a closed line refuses this, and then the writer ends the export by itself.
      await this.#writer.call('endExport', { exportId: this.#exportId }).catch(() => null)
    }
    return { done: true, value: undefined }
  }

  /**
   * Copies the next rows without a lock, then replaces the rows that updates have changed since the export
   * began by their pre-images.
   *
   * The result is exactly the table at the export's sequence S. Only the writer writes rows: before it first
   * overwrites a row, it keeps the pre-image at S, and it answers calls between writes. When it answers, it
   * has therefore kept every row that was written before or during the copy, because the copy was finished
   * before the call. Those rows are replaced as a whole, torn ones included. Every other row was not written
   * between S and the copy. Reading the lock word instead could spare the call, but not on every machine:
   * nothing orders plain copies before a later read of that word, while a message and its answer do.
   */
  async #readChunk(): Promise<Buffer | null> {
    const { rows } = this.#reader.handle
    if (this.#row === rows) {
      this.#part += 1
      this.#row = 0
    }
    if (rows === 0 || this.#part >= this.#parts.length) return null
    const part = this.#parts[this.#part]
    const source = this.#sources[part.of]
    assert(source !== null && part.from + part.byteCount <= source.rowBytes, 'a part is within the row')
    const { rowBytes } = source
    const firstRow = this.#row
    const rowCount = Math.min(rows - firstRow, Math.max(1, Math.floor(CHUNK_BYTES / rowBytes)))
    this.#row += rowCount
    const stored = source.copy(firstRow, rowCount)
    if (source.isWritten) {
      const request = { exportId: this.#exportId, of: part.of, firstRow, rowCount }
      patchRows(stored, firstRow, rowBytes, await this.#writer.call('readPreImages', request))
    }
    return part.byteCount === rowBytes ? stored : cutRows(stored, rowCount, rowBytes, part)
  }
}

/** Cuts one part out of each row. */
const cutRows = (
  stored: Buffer,
  rowCount: number,
  rowBytes: number,
  { from, byteCount }: ExportPart,
): Buffer => {
  const cut = Buffer.allocUnsafeSlow(rowCount * byteCount)
  for (let i = 0; i < rowCount; i++)
    stored.copy(cut, i * byteCount, i * rowBytes + from, i * rowBytes + from + byteCount)
  return cut
}
