/**
 * The format of a snapshot: a safetensors file, format version 1, that any reader of safetensors opens:
 *
 *     header              metadata: `gatherd_snapshot` "1" and the members of SnapshotFacts, each as a string
 *     optimizer/state     F32 [rows, length], if the version has state
 *     embeddings          F32, F16 or BF16 [rows, dim]; int8 rows as stored, U8 [rows, dim + 8]
 *     optimizer/touched   U8 [rows], 1: the row has state of its own; if the version has state
 *     checksums           U8 [4 x (blocks + 2)], uint32 little-endian: CRC-32 of the header with its length,
 *                         of each MiB of the arrays above, and of the checksums before this one
 *
 * Checksums come last so that a file is written in one pass; as bytes, so that no array stands at an odd
 * address. Fixtures of every version are kept in `test/storage/fixtures`.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../core/assert.ts'
import { GatherdError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Dtype, ElementType } from '../core/types.ts'
import {
  readSafetensorsHeader,
  type SafetensorsHeader,
  writeSafetensorsHeader,
} from '../formats/safetensors.ts'
import { rowBytes } from '../layout/table-layout.ts'
import { fromSnapshotCode, toSnapshotCode } from '../optimizers/kind-index.ts'
import { stateLength } from '../optimizers/state-tensors.ts'
import { refuseData } from './refusals.ts'

const FORMAT_VERSION = '1'
export const BLOCK_BYTES = 1024 * 1024
const DTYPES: readonly Dtype[] = ['float32', 'float16', 'bfloat16', 'int8']

/** The facts about a snapshot in its header. */
export interface SnapshotFacts {
  tableId: number
  table: string
  version: number
  rows: number
  dim: number
  dtype: Dtype
  /**
   * The journal after this sequence is replayed over the file. That completes later updates, of which the
   * file may have parts.
   */
  startSequence: number
  /** Gradient steps taken, and the time of the last update, at the start. */
  step: number
  updatedAtMs: number
  state: { kind: string; length: number; epoch: number; initial: number } | null
}

/** The places of the parts of a file. */
export interface SnapshotPlan {
  facts: SnapshotFacts
  header: Uint8Array
  /**
   * Bytes of the arrays that are checked in blocks. They follow the header, and the checksums follow them.
   */
  dataBytes: number
  blockCount: number
  checksumBytes: number
  fileBytes: number
}

/** Describes the arrays that the blocks cover, in order. */
const describeArrays = (
  facts: SnapshotFacts,
): { name: string; elementType: ElementType; shape: number[] }[] => {
  const { rows, dim, dtype, state } = facts
  const embeddings = {
    name: 'embeddings',
    elementType: dtype === 'int8' ? ('uint8' as const) : dtype,
    shape: [rows, dtype === 'int8' ? rowBytes(dim, dtype) : dim],
  }
  if (state === null) return [embeddings]
  return [
    { name: 'optimizer/state', elementType: 'float32', shape: [rows, state.length] },
    embeddings,
    { name: 'optimizer/touched', elementType: 'uint8', shape: [rows] },
  ]
}

/** Plans a whole file, except its contents. */
export const planSnapshot = (facts: SnapshotFacts): SnapshotPlan => {
  const { rows, dim, dtype, state } = facts
  const dataBytes = rows * (rowBytes(dim, dtype) + (state === null ? 0 : state.length * 4 + 1))
  assert(Number.isSafeInteger(dataBytes), 'a table has a countable number of bytes')
  const blockCount = Math.ceil(dataBytes / BLOCK_BYTES)
  const checksumBytes = 4 * (blockCount + 2)
  const arrays = [
    ...describeArrays(facts),
    { name: 'checksums', elementType: 'uint8' as const, shape: [checksumBytes] },
  ]
  const { header, bodyBytes } = writeSafetensorsHeader(arrays, toMetadata(facts))
  assert(bodyBytes === header.length + dataBytes + checksumBytes, 'arrays fill the file')
  return { facts, header, dataBytes, blockCount, checksumBytes, fileBytes: bodyBytes }
}

/** Members and their names in the file, in a fixed order, so that the same facts give the same bytes. */
const FACT_NAMES = [
  ['table_id', 'tableId'],
  ['table', 'table'],
  ['version', 'version'],
  ['rows', 'rows'],
  ['dim', 'dim'],
  ['dtype', 'dtype'],
  ['start_sequence', 'startSequence'],
  ['step', 'step'],
  ['updated_at_ms', 'updatedAtMs'],
] as const satisfies [string, keyof SnapshotFacts][]

const toMetadata = (facts: SnapshotFacts): Map<string, string> => {
  const metadata = new Map([['gatherd_snapshot', FORMAT_VERSION]])
  for (const [name, member] of FACT_NAMES) metadata.set(name, String(facts[member]))
  if (facts.state === null) return metadata
  metadata.set('state_kind', toSnapshotCode(facts.state.kind))
  for (const member of ['length', 'epoch', 'initial'] as const)
    metadata.set(`state_${member}`, String(facts.state[member]))
  return metadata
}

/** Encodes the last array of a file: the checksums of its header and blocks, then a checksum of these. */
export const encodeChecksums = (header: Uint8Array, blocks: readonly number[]): Uint8Array => {
  const bytes = Buffer.alloc(4 * (blocks.length + 2))
  ;[crc32(header), ...blocks].forEach((crc, i) => bytes.writeUInt32LE(crc, i * 4))
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

/**
 * Decodes the checksums of the blocks. Refuses DamagedSnapshot if their own checksum, or that of the header,
 * is wrong.
 */
export const decodeChecksums = (path: string, header: Uint8Array, bytes: Buffer): number[] => {
  if (bytes.readUInt32LE(bytes.length - 4) !== crc32(bytes.subarray(0, -4)))
    refuseSnapshot(path, 'its checksums are damaged')
  const [headerCrc, ...blocks] = Array.from({ length: bytes.length / 4 - 1 }, (_, i) =>
    bytes.readUInt32LE(i * 4),
  )
  return headerCrc === crc32(header) ? blocks : refuseSnapshot(path, 'its header is damaged')
}

/**
 * Reads the header of the file at `path`, which has `fileBytes`. Refuses DamagedSnapshot for a header that
 * {@link planSnapshot} did not write, and for a file of another length; UnknownFormat for a later format.
 */
export const readSnapshotHeader = (path: string, header: Uint8Array, fileBytes: number): SnapshotPlan => {
  const { metadata } = parseHeader(path, header, fileBytes)
  const format = metadata.get('gatherd_snapshot')
  if (format !== undefined && format !== FORMAT_VERSION && /^\d+$/.test(format)) {
    refuseData(
      'UnknownFormat',
      path,
      `the snapshot has format ${format}, this release reads format ${FORMAT_VERSION}`,
    )
  }
  const facts = toFacts(metadata)
  if (facts === null) return refuseSnapshot(path, 'its header is damaged')
  const plan = planSnapshot(facts)
  // The header must be byte for byte the one that these facts give, with its shapes and places.
  if (!Buffer.from(plan.header).equals(header)) refuseSnapshot(path, 'its header is damaged')
  if (plan.fileBytes !== fileBytes)
    refuseSnapshot(path, `it has ${fileBytes} bytes, expected ${plan.fileBytes}`)
  return plan
}

const parseHeader = (path: string, header: Uint8Array, fileBytes: number): SafetensorsHeader => {
  try {
    return readSafetensorsHeader(header, fileBytes)
  } catch (error) {
    if (!(error instanceof GatherdError)) throw error
    return refuseSnapshot(path, error.message, error)
  }
}

const toFacts = (metadata: ReadonlyMap<string, string>): SnapshotFacts | null => {
  const whole = (name: string): number => {
    const text = metadata.get(name) ?? ''
    return /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : Number.NaN
  }
  const dtype = DTYPES.find((known) => known === metadata.get('dtype'))
  const table = metadata.get('table')
  const kind = fromSnapshotCode(metadata.get('state_kind') ?? '')
  const numbers = {
    tableId: whole('table_id'),
    version: whole('version'),
    rows: whole('rows'),
    dim: whole('dim'),
    startSequence: whole('start_sequence'),
    step: whole('step'),
    updatedAtMs: Number(metadata.get('updated_at_ms')),
  }
  if (
    dtype === undefined ||
    table === undefined ||
    Object.values(numbers).some((value) => Number.isNaN(value))
  )
    return null
  if (numbers.rows > LIMITS.tableRowsMax || numbers.dim > LIMITS.dimMax) return null
  const facts = { ...numbers, dtype, table }
  if (kind === undefined) return metadata.has('state_kind') ? null : { ...facts, state: null }
  const state = {
    kind,
    length: whole('state_length'),
    epoch: whole('state_epoch'),
    initial: Number(metadata.get('state_initial')),
  }
  const isState =
    state.length === stateLength({ kind }, facts.dim) &&
    !Number.isNaN(state.epoch) &&
    !Number.isNaN(state.initial)
  return isState ? { ...facts, state } : null
}

/** Refuses (DamagedSnapshot) the file at `path`. */
export const refuseSnapshot = (path: string, what: string, cause?: unknown): never =>
  refuseData('DamagedSnapshot', path, `the snapshot is damaged: ${what}`, cause)
