/** Makes a version of a table through the writer. */
import { assert } from '../core/assert.ts'
import { refuse } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { TableInfo } from '../core/types.ts'
import type { WriterClient } from '../writer/client.ts'
import type { BeginArguments, ChangeKey } from '../writer/protocol.ts'
import type { SegmentHandle } from '../tables/handles.ts'

/** The calls of the writer that make a table. */
export type WriterConnection = Pick<WriterClient, 'call'>

/** A version that has become current. */
export interface BuiltTable {
  /** Whether there was no table of that name before. */
  created: boolean
  version: number
  /** The table as it was then, whatever followed. */
  info: TableInfo
  /** Raised by each change of what clients see of the table, except its data. */
  revision: number
}

/** The idempotency key of a request that makes a version. */
export interface BuildKey {
  keyId: number
  /** The hash of the request, or a function that makes it of the SHA-256 of its body. */
  request: Uint8Array | ((digest: Uint8Array) => Uint8Array)
}

/**
 * Makes a version of a table: memory is reserved, `fill` writes the rows, then the version becomes current in
 * every thread. It is not visible before that. After any failure its memory is freed, the table is unchanged,
 * and the error is passed to the caller. `fill` also writes optimizer state if `begin` announces it, and
 * returns the number of gradient steps behind that state: 0 without state. `makeKey` is called after that;
 * the key is stored together with the version.
 */
export const buildTable = async (
  writer: WriterConnection,
  begin: BeginArguments,
  fill: (segments: readonly SegmentHandle[], state: readonly SegmentHandle[] | null) => Promise<number>,
  makeKey: () => ChangeKey | undefined = () => undefined,
): Promise<BuiltTable> => {
  const { buildId, segments, state } = await writer.call('beginBuild', begin)
  try {
    const step = await fill(segments, state)
    return await writer.call('commitBuild', { buildId, step, key: makeKey() })
  } catch (error) {
    // The call fails only when the connection to the writer is closed, and then the writer aborts the build
    // itself.
    await writer.call('abortBuild', { buildId }).catch(() => null)
    throw error
  }
}

/** Binds the key of a request to its body, whose SHA-256 is needed only if the key says so. */
export const bindBuild = (
  key: BuildKey | undefined,
  readDigest: () => Uint8Array | null,
): ChangeKey | undefined => {
  if (key === undefined) return undefined
  const { keyId, request } = key
  if (typeof request !== 'function') return { keyId, request }
  const digest = readDigest()
  assert(digest !== null, 'the body of a request with a key is hashed')
  return { keyId, request: request(digest) }
}

/**
 * Refuses (SHAPE_MISMATCH) shapes that no table can have: no columns, or more rows or columns than the
 * limits. A table may have no rows.
 */
export const checkTableShape = (rows: number, dim: number): void => {
  const { tableRowsMax, dimMax } = LIMITS
  if (!Number.isSafeInteger(rows) || rows < 0 || rows > tableRowsMax) {
    refuse('SHAPE_MISMATCH', `a table has 0 to ${tableRowsMax} rows, not ${rows}`)
  }
  if (!Number.isSafeInteger(dim) || dim < 1 || dim > dimMax)
    refuse('SHAPE_MISMATCH', `the dim of a table is 1 to ${dimMax}, not ${dim}`)
}
