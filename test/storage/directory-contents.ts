/**
 * Asks a running service for everything that it holds. Two services hold the same data exactly when these
 * descriptions are equal, which is how tests compare a data directory before and after a change of the code.
 */
import { createHash } from 'node:crypto'

/** Sends one request to a service, which runs in a process of its own or in this thread. */
export type Ask = (
  method: 'GET' | 'PUT' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  request?: { body?: object | Uint8Array; headers?: Record<string, string> },
) => Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }>

/** An update with an Idempotency-Key, as it was sent. */
export interface KeyedUpdate {
  path: string
  key: string
  body: object
}

/** Describes an array for comparison: its first bytes show a difference, and its hash covers all of them. */
interface ArrayFacts {
  bytes: number
  head: string
  sha256: string
}

const HEAD_BYTES = 32

const factsOf = (bytes: Uint8Array): ArrayFacts => ({
  bytes: bytes.length,
  head: Buffer.from(bytes.subarray(0, HEAD_BYTES)).toString('hex'),
  sha256: createHash('sha256').update(bytes).digest('hex'),
})

/** Describes the arrays of a safetensors body by name. It does not use the reader that is under test. */
const describeTensors = (body: Buffer): Record<string, unknown> => {
  const headerBytes = Number(body.readBigUInt64LE(0))
  const header = JSON.parse(body.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  return Object.fromEntries(
    Object.entries(header)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, entry]) => {
        if (name === '__metadata__') return [name, entry]
        const [begin, end] = entry.data_offsets.map((offset) => 8 + headerBytes + offset)
        return [name, { dtype: entry.dtype, shape: entry.shape, ...factsOf(body.subarray(begin, end)) }]
      }),
  )
}

const OCTETS = { accept: 'application/octet-stream' }
const SAFETENSORS = { accept: 'application/x-safetensors' }

const readJson = async (ask: Ask, path: string): Promise<unknown> =>
  JSON.parse(String((await ask('GET', path)).body))

/** Reads the uploads of a table without their time of expiry, which opening a copy of the directory moves. */
const readUploads = async (ask: Ask, path: string): Promise<unknown> => {
  const { uploads } = (await readJson(ask, path)) as { uploads: object[] }
  return uploads.map((upload) => ({ ...upload, expires_at: undefined }))
}

const lookUp = async (ask: Ask, name: string): Promise<Record<string, unknown>> => {
  const path = `/v1/tables/${name}/lookup`
  const answer = await ask('POST', path, { body: { indices: [2, 0, 2] }, headers: OCTETS })
  const { 'x-table-version': version, 'x-table-sequence': sequence } = answer.headers
  return { status: answer.status, version, sequence, ...factsOf(answer.body) }
}

/**
 * Reads everything about one table: settings, versions, rows of each version, optimizer state, a lookup, the
 * adapter and the uploads.
 */
const readTable = async (ask: Ask, name: string): Promise<Record<string, unknown>> => {
  const path = `/v1/tables/${name}`
  const info = await ask('GET', path)
  const { versions } = (await readJson(ask, `${path}/versions`)) as { versions: { version: number }[] }
  const rows: Record<string, unknown> = {}
  for (const { version } of versions) {
    const answer = await ask('GET', `${path}/data?version=${version}`, { headers: OCTETS })
    rows[version] = { status: answer.status, etag: answer.headers.etag, ...factsOf(answer.body) }
  }
  const state = await ask('GET', `${path}/data?include=optimizer`, { headers: SAFETENSORS })
  return {
    info: JSON.parse(String(info.body)),
    etag: info.headers.etag,
    versions,
    rows,
    state: state.status === 200 ? describeTensors(state.body) : state.status,
    lookup: await lookUp(ask, name),
    adapter: await readJson(ask, `${path}/lora`),
    uploads: await readUploads(ask, `${path}/uploads`),
  }
}

/**
 * Sends an update again, and then a different update with the same key. The service must answer the first as
 * before and refuse the second.
 */
const repeatUpdate = async (ask: Ask, { path, key, body }: KeyedUpdate): Promise<Record<string, unknown>> => {
  const headers = { 'idempotency-key': key }
  const again = await ask('POST', path, { body, headers })
  const other = await ask('POST', path, { body: { ...body, indices: [10] }, headers })
  return {
    again: { status: again.status, answer: JSON.parse(String(again.body)) },
    other: { status: other.status, code: (JSON.parse(String(other.body)) as { code: string }).code },
  }
}

/**
 * Reads all data of a service. The result does not depend on the time of the requests, and the requests
 * change nothing.
 */
export const readContents = async (
  ask: Ask,
  updates: readonly KeyedUpdate[],
): Promise<Record<string, unknown>> => {
  const { tables } = (await readJson(ask, '/v1/tables')) as { tables: { name: string }[] }
  const contents: Record<string, unknown> = {}
  for (const { name } of tables) contents[name] = await readTable(ask, name)
  const { aliases } = (await readJson(ask, '/v1/aliases')) as { aliases: { alias: string }[] }
  const aliased: Record<string, unknown> = {}
  for (const { alias } of aliases) aliased[alias] = await lookUp(ask, alias)
  const replays: Record<string, unknown> = {}
  for (const update of updates) replays[update.key] = await repeatUpdate(ask, update)
  return { tables: contents, aliases, aliased, replays }
}
