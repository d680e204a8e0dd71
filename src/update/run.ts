import { createHash } from 'node:crypto'
import type { Precondition } from '../core/types.ts'
import type { Arena } from '../tables/arena.ts'
import type { TableEntry } from '../tables/registry.ts'
import type { WriterClient } from '../writer/client.ts'
import type { UpdateKey, UpdateResult } from '../writer/protocol.ts'
import type { ParsedUpdate } from './decode.ts'
import { planUpdate, type UpdateMessage } from './plan.ts'

/** An update and what its request demands beside it. */
export interface UpdateRequest {
  entry: TableEntry
  parsed: ParsedUpdate
  precondition: Precondition
  key: UpdateKey | undefined
  deadlineAt: number | undefined
  /** Pins the body, which the writer reads in place; the function returned unpins it. */
  pinBody: () => () => void
}

/**
 * Plans an update, submits it and waits for the result. A request with a key that was used before gets the
 * first result, also when the table would refuse the update by now.
 */
export const runUpdate = async (
  writer: WriterClient,
  arena: Arena,
  { entry, parsed, precondition, key, deadlineAt, pinBody }: UpdateRequest,
): Promise<UpdateResult> => {
  const { arrays, ...how } = parsed
  let message: UpdateMessage
  try {
    message = planUpdate(entry, arrays, { ...how, precondition, key, deadlineAt }, arena)
  } catch (error) {
    const first = key === undefined ? null : await writer.call('recall', { name: entry.record.name, key })
    if (first === null) throw error
    return first
  }
  // The writer reads the body whether or not the client still waits.
  const unpin = pinBody()
  try {
    return await submitUpdate(writer, arena, message)
  } finally {
    unpin()
  }
}

/** Hands a planned update to the writer, and releases its memory when the result has come. */
export const submitUpdate = (
  writer: WriterClient,
  arena: Arena,
  { call, region }: UpdateMessage,
): Promise<UpdateResult> => writer.call('update', call).finally(() => arena.release(region))

/**
 * Binds `key` to its request by a SHA-256 of the body and of `meaning`, everything else that the request
 * asks for. Another request with the same key is recognised by it.
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
