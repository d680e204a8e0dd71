/** Runs an update: hands it to the writer and waits for the result. */
import { createHash } from 'node:crypto'
import type { Precondition } from '../core/types.ts'
import type { Arena } from '../tables/arena.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { WriterClient } from '../writer/client.ts'
import type { UpdateKey, UpdateResult } from '../writer/protocol.ts'
import type { ParsedUpdate } from './decode.ts'
import { planUpdate, type UpdateMessage } from './plan.ts'

/** A parsed update, and the conditions of its request. */
export interface UpdateRequest {
  entry: TableEntry
  parsed: ParsedUpdate
  precondition: Precondition
  key: UpdateKey | undefined
  deadlineAt: number | undefined
  /** Pins the body, because the writer reads it in place. The returned function unpins it. */
  pinBody: () => () => void
}

/**
 * Plans an update, submits it and waits for the result. A request with a key that was used before gets the
 * first result, even if the table would now refuse the update.
 */
export const runUpdate = async (
  writer: WriterClient,
  arena: Arena,
  { entry, parsed, precondition, key, deadlineAt, pinBody }: UpdateRequest,
): Promise<UpdateResult> => {
  const { arrays, ...options } = parsed
  let message: UpdateMessage
  try {
    message = planUpdate(entry, arrays, { ...options, precondition, key, deadlineAt }, arena)
  } catch (error) {
    const first = key === undefined ? null : await writer.call('recall', { name: entry.record.name, key })
    if (first === null) throw error
    return first
  }
  // The body is pinned, because the writer reads it even if the client no longer waits.
  const unpin = pinBody()
  try {
    return await submitUpdate(writer, arena, message)
  } finally {
    unpin()
  }
}

/** Hands a planned update to the writer, and releases its memory when the result has arrived. */
export const submitUpdate = (
  writer: WriterClient,
  arena: Arena,
  { call, region }: UpdateMessage,
): Promise<UpdateResult> => writer.call('update', call).finally(() => arena.release(region))

/**
 * Binds `key` to its request by a SHA-256 of the body and of `meaning`, the other facts of the request. The
 * hash tells when another request uses the same key.
 */
export const bindKey = (
  key: string,
  meaning: readonly (string | number | undefined)[],
  body: Uint8Array,
): UpdateKey => {
  const hash = createHash('sha256')
    .update(`${JSON.stringify(meaning)}\n`)
    .update(body)
  return { key, request: new Uint8Array(hash.digest()) }
}
