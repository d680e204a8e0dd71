/** Runs changes that are no updates at most once for each `Idempotency-Key`. */
import { createHash } from 'node:crypto'
import { refuse } from '../core/errors.ts'
import { checkDigest } from '../formats/digest.ts'
import type { Registry } from '../tables/registry.ts'
import type { WriterClient } from '../writer/client.ts'
import type { ChangeKey } from '../writer/protocol.ts'

/** A change and the key of its request. */
export interface KeyedChange {
  key: string | undefined
  /** What the key belongs to. */
  resource: { kind: 'table' | 'alias'; name: string }
}

/** The result of a change, or of the earlier one with the same key. */
export interface Outcome<Result> {
  result: Result
  isReplay: boolean
}

/**
 * Runs `change`, or returns the result that an earlier request has stored with the key, whatever has become
 * of the table since. `readRequest` resolves to the hash of this request, which must be that of the first; it
 * is called only for a key that is known, so it may read a body to its end. `change` gets the number of the
 * key, which it stores in its transaction. Refuses IDEMPOTENCY_IN_FLIGHT and IDEMPOTENCY_MISMATCH.
 */
export const runOnce = async <Result>(
  writer: Pick<WriterClient, 'call'>,
  { key, resource }: KeyedChange,
  readRequest: () => Promise<Uint8Array> | Uint8Array,
  change: (keyId: number | undefined) => Promise<Result>,
): Promise<Outcome<Result>> => {
  if (key === undefined) return { result: await change(undefined), isReplay: false }
  const { keyId, isKnown } = await writer.call('beginKey', { key, resource })
  try {
    if (!isKnown) return { result: await change(keyId), isReplay: false }
    const first = await writer.call('recallKey', { keyId, request: await readRequest() })
    if (first === null)
      return refuse('IDEMPOTENCY_IN_FLIGHT', 'the key has just expired; send the request again')
    return { result: first.result as Result, isReplay: true }
  } finally {
    // The call fails only when the connection to the writer is closed, and then the writer ends the key.
    await writer.call('endKey', { keyId }).catch(() => null)
  }
}

/** Binds the number of a key to the hash of its request; undefined without a key. */
export const toChangeKey = (keyId: number | undefined, request: Uint8Array): ChangeKey | undefined =>
  keyId === undefined ? undefined : { keyId, request }

/** A change of a table, whose whole request is known before it begins. */
export interface TableRequest {
  name: string
  idempotencyKey: string | undefined
  /** What {@link hashRequest} made of the request. */
  request: Uint8Array
}

/**
 * Runs `change` of a table as {@link runOnce} does, with the key that it stores. Refuses TABLE_NOT_FOUND,
 * also for an alias, unless the key is known.
 */
export const changeTable = <Result>(
  { writer, registry }: { writer: Pick<WriterClient, 'call'>; registry: Pick<Registry, 'findTable'> },
  { name, idempotencyKey, request }: TableRequest,
  change: (key: ChangeKey | undefined) => Promise<Result>,
): Promise<Outcome<Result>> =>
  runOnce(
    writer,
    { key: idempotencyKey, resource: { kind: 'table', name } },
    () => request,
    (keyId) => {
      registry.findTable(name)
      return change(toChangeKey(keyId, request))
    },
  )

/** Stores the result of a change that is no transaction of the writer. Nothing is stored without a key. */
export const storeKey = async (
  writer: Pick<WriterClient, 'call'>,
  key: ChangeKey | undefined,
  result: unknown,
): Promise<void> => {
  if (key !== undefined) await writer.call('storeKey', { ...key, result })
}

/** Hashes what a request asks for: `meaning`, and the SHA-256 of its body if it has one. */
export const hashRequest = (meaning: readonly unknown[], digest: Uint8Array = new Uint8Array()): Uint8Array =>
  new Uint8Array(
    createHash('sha256')
      .update(`${JSON.stringify(meaning)}\n`)
      .update(digest)
      .digest(),
  )

/**
 * Reads a body to its end and returns its SHA-256. Refuses DIGEST_MISMATCH when it is not the announced one.
 */
export const hashBody = async (
  body: Uint8Array | AsyncIterable<Uint8Array>,
  announced: Uint8Array | undefined,
): Promise<Uint8Array> => {
  const hash = createHash('sha256')
  if (body instanceof Uint8Array) hash.update(body)
  else for await (const chunk of body) hash.update(chunk)
  const digest = new Uint8Array(hash.digest())
  checkDigest('body', digest, announced)
  return digest
}
