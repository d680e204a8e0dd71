/**
 * Speaks RESP, the protocol of Redis. A row is one key: a letter for the table and four bytes for the id,
 * which is shorter than real keys. Its value is the numbers as they lie in memory. A lookup is MGET, and a
 * step of gradients calls the function in peers/sgd.lua.
 */
import { type Connection, openConnection } from './connection.ts'
import type { RequestPlan } from './requests.ts'
import { type SourceTable, toBytes } from '../rows.ts'
import { LEARNING_RATE, type Scenario, type TablePlan, TABLES } from '../scenarios.ts'
import type { AnswerDone, AnswerReader, Wire } from './wire.ts'

export const redisWire: Wire = { encodeRequest, makeReader: makeReplyReader, createTable }

/** Name of the function in peers/sgd.lua. */
const STEP_FUNCTION = 'sgd'
const KEY_BYTES = 5
const ROWS_PER_COMMAND = 1_024
const COMMANDS_IN_FLIGHT = 4

/** A command with its arguments, as Redis reads it. */
export function encodeCommand(parts: (string | Buffer)[]): Buffer {
  const sizes = parts.map((part) => Buffer.byteLength(part))
  // Loading a table makes millions of these: they share one buffer.
  const bytes = Buffer.allocUnsafe(
    sizes.reduce((sum, size) => sum + `$${size}\r\n\r\n`.length + size, `*${parts.length}\r\n`.length),
  )
  let at = bytes.write(`*${parts.length}\r\n`)
  for (const [index, part] of parts.entries()) {
    at += bytes.write(`$${sizes[index]}\r\n`, at)
    at += typeof part === 'string' ? bytes.write(part, at) : part.copy(bytes, at)
    at += bytes.write('\r\n', at)
  }
  return bytes
}

/** Sends one command; throws the error that Redis answers. */
export async function command(connection: Connection, ...parts: (string | Buffer)[]): Promise<Buffer> {
  return demand(connection, encodeCommand(parts))
}

async function demand(connection: Connection, request: Buffer): Promise<Buffer> {
  const { status, body } = await connection.ask(request)
  if (status !== 200) throw new Error(`Redis: ${body.toString('utf8', 0, 500)}`)
  return body
}

function encodeRequest(scenario: Scenario, { ids, gradients }: RequestPlan): Buffer {
  const prefix = prefixOf(scenario.table)
  if (gradients === undefined)
    return encodeCommand(['MGET', ...Array.from(ids, (id) => encodeKey(prefix, id))])
  const settings = [prefix, String(scenario.dim), String(LEARNING_RATE)]
  return encodeCommand(['FCALL', STEP_FUNCTION, '0', ...settings, toBytes(ids), toBytes(gradients)])
}

const prefixOf = (table: string): string =>
  String.fromCharCode('a'.charCodeAt(0) + TABLES.findIndex(({ name }) => name === table))

function encodeKey(prefix: string, id: number): Buffer {
  const key = Buffer.alloc(KEY_BYTES, prefix)
  key.writeInt32LE(id, 1)
  return key
}

async function createTable(url: string, { name, durability }: TablePlan, source: SourceTable): Promise<void> {
  const connection = await openConnection(url, redisWire)
  try {
    if (durability === 'disk') await command(connection, 'CONFIG', 'SET', 'appendfsync', 'no')
    const flying: Promise<unknown>[] = []
    for (let first = 0; first < source.rowCount; first += ROWS_PER_COMMAND) {
      if (flying.length === COMMANDS_IN_FLIGHT) await flying.shift()
      flying.push(demand(connection, encodeRows(prefixOf(name), source, first)))
    }
    await Promise.all(flying)
    if (durability === 'disk') await command(connection, 'CONFIG', 'SET', 'appendfsync', 'always')
  } finally {
    connection.close()
  }
}

/** MSET of up to 1,024 rows. */
function encodeRows(prefix: string, { rowCount, dim, values }: SourceTable, first: number): Buffer {
  const count = Math.min(ROWS_PER_COMMAND, rowCount - first)
  const parts = Array.from({ length: count }, (_, index) => {
    const row = first + index
    return [encodeKey(prefix, row), toBytes(values.subarray(row * dim, (row + 1) * dim))]
  })
  return encodeCommand(['MSET', ...parts.flat()])
}

/**
 * Reads replies of RESP2, one per request: status 200, 404 when a value is missing, 500 for an error. The
 * body is all bulk strings of the reply in a row, or the text of the error.
 */
export function makeReplyReader(done: AnswerDone, keep?: (piece: Buffer) => void): AnswerReader {
  let head = ''
  /** Bytes of the current bulk string that are still to come, and of the line end behind it. */
  let missingBytes = 0
  /** Parts of the current reply that are still to come. */
  let missingParts = 0
  let status = 200
  let bodyBytes = 0
  const finishPart = (added = 0): void => {
    missingParts += added - 1
    if (missingParts > 0) return
    const answer = [status, bodyBytes] as const
    status = 200
    bodyBytes = 0
    done(...answer)
  }
  const readHead = (line: string): void => {
    if (missingParts === 0) missingParts = 1
    const count = Number(line.slice(1))
    if (line[0] === '*') finishPart(count)
    else if (line[0] === '$' && count >= 0) {
      bodyBytes += count
      missingBytes = count + 2
    } else {
      if (line[0] === '$') status = 404
      if (line[0] === '-') {
        status = 500
        keep?.(Buffer.from(line))
      }
      finishPart()
    }
  }
  return (piece) => {
    let at = 0
    while (at < piece.length) {
      if (missingBytes === 0) {
        const end = piece.indexOf(10, at)
        head += piece.toString('latin1', at, end < 0 ? piece.length : end)
        if (end < 0) return
        at = end + 1
        const line = head.trimEnd()
        head = ''
        readHead(line)
        continue
      }
      const end = Math.min(piece.length, at + missingBytes)
      keep?.(piece.subarray(at, Math.min(end, at + Math.max(0, missingBytes - 2))))
      missingBytes -= end - at
      at = end
      if (missingBytes === 0) finishPart()
    }
  }
}
