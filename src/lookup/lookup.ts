/** Looks rows up: plans, resolves the ids, gathers or pools, rounds and encodes. */
import { instantiateJsonKernels, type JsonKernels } from '../kernels/print-floats.ts'
import type { TableAdapter } from '../tables/adapter.ts'
import { Arena, ArenaShare, type Region } from '../tables/arena.ts'
import type { TableEntry } from '../tables/registry.ts'
import { resolveRows } from '../tables/resolve.ts'
import type { TableReader } from '../tables/table-reader.ts'
import { dispatchGather } from '../workers/dispatch.ts'
import { dispatchAdapted } from '../workers/dispatch-adapted.ts'
import { type ResponseBuffer, ResponseBuffers, sendInPlace } from './buffers.ts'
import { type Answer, checkEncoding, describeAnswer, type Encoding, encodeAnswer } from './encode.ts'
import { writeFillRow } from './fill.ts'
import { computeMask } from './mask.ts'
import { type LookupPlan, planLookup } from './plan.ts'
import { poolBags } from './pooling.ts'
import type { LookupRequest } from './request.ts'
import { LIMITS } from '../core/limits.ts'
import { PRINT_TABLES_BYTES } from '../kernels/print-tables.ts'
import type { ComputePool } from '../workers/pool.ts'

/** The memory and kernels that a thread needs to answer lookups; one per HTTP worker. */
export interface LookupServices {
  arena: Arena
  /** The share of the arena for bodies of updates on their way to the writer. */
  updateBodies: ArenaShare
  /** The share of the arena for long answers on their way to their clients. */
  answers: ArenaShare
  buffers: ResponseBuffers
  printer: JsonKernels
  pool: ComputePool | null
}

/** A lookup that has been checked. Its ids and rows can then be read any number of times. */
export interface PlannedLookup {
  entry: TableEntry
  reader: TableReader
  adapter: TableAdapter | null
  request: LookupRequest
  encoding: Encoding
  plan: LookupPlan
  /**
   * Makes bytes that are put before a body at this sequence, of `bodyBytes`, in the same buffer; octet-stream
   * and JSON only. A caller that sets it must always release the answer, even if the client leaves, because
   * it may lie in the arena.
   */
  writeHead?: (sequence: number, bodyBytes: number) => Uint8Array
}

/** A running lookup: its plan, and its region of the arena. */
interface Gathering extends PlannedLookup {
  region: Region
  /** It is read before the rows, so each of them is at this sequence or a later one. */
  sequence: number
}

/**
 * Looks rows up: plans, resolves the ids into the arena, gathers or pools, rounds and encodes. Returns the
 * answer itself if the work is small enough for this thread, otherwise a promise. Requests are refused before
 * any row is read.
 */
export const lookup = (
  services: LookupServices,
  entry: TableEntry,
  reader: TableReader,
  request: LookupRequest,
  encoding: Encoding,
): Answer | Promise<Answer> => runLookup(services, prepareLookup(entry, reader, request, encoding))

/** The first half of {@link lookup}: everything that does not depend on the values of the ids. */
export const prepareLookup = (
  entry: TableEntry,
  reader: TableReader,
  request: LookupRequest,
  encoding: Encoding,
): PlannedLookup => {
  const adapter = entry.adapters.get(reader.handle.version) ?? null
  const plan = planLookup(reader.handle, entry.record.settings, request, encoding === 'json', adapter?.handle)
  checkEncoding(encoding, plan.elementType, plan.mask)
  return { entry, reader, adapter, request, encoding, plan }
}

/** The second half of {@link lookup}. The ids are those that the request has now. */
export const runLookup = (services: LookupServices, planned: PlannedLookup): Answer | Promise<Answer> => {
  const region = services.arena.reserve(planned.plan.regionBytes)
  const gathering: Gathering = { ...planned, region, sequence: planned.reader.readSequence() }
  const abandon = (error: unknown): never => {
    services.arena.release(region)
    throw error
  }
  let pending: void | Promise<void>
  try {
    pending = gather(services, gathering)
  } catch (error) {
    return abandon(error)
  }
  return pending === undefined
    ? finish(services, gathering)
    : pending.then(() => finish(services, gathering), abandon)
}

/** Resolves the ids into the region, and gathers or pools the rows there. */
const gather = (
  { arena, pool }: LookupServices,
  { reader, adapter, request, plan, region }: Gathering,
): void | Promise<void> => {
  const { bags, count } = plan
  const idsAt = region.at + plan.idsAt
  const ids = arena.int32.subarray(idsAt / 4, idsAt / 4 + count)
  resolveRows(request.indices, request.shape, ids, reader.handle.rows, plan.mode, request.lengths)
  const fillAt = region.at + plan.fillAt
  if (plan.mode === 'fill') writeFillRow(arena, fillAt, plan, reader)
  if (bags !== null) return poolBags(arena, pool, reader, adapter, { ...plan, bags }, region)
  const rowsAt = region.at + plan.rowsAt
  const pending = dispatchGather(
    reader,
    arena,
    { format: plan.rowFormat, idsAt, count, outAt: rowsAt, fillAt },
    pool,
  )
  if (adapter === null) return pending
  const add = () => dispatchAdapted(adapter, arena, { idsAt, count, rowsAt, dim: reader.handle.dim })
  if (pending === undefined) return add()
  // The rows stay unchanged while their adapter is pinned.
  adapter.factors.pin()
  return pending.then(add).finally(() => adapter.factors.unpin())
}

/** Rounds and encodes the gathered rows. The region is released, or becomes part of the answer. */
const finish = (services: LookupServices, gathering: Gathering): Answer => {
  const { arena, answers, buffers, printer } = services
  const { entry, reader, request, encoding, plan, region, sequence, writeHead } = gathering
  const { version: number, rows } = reader.handle
  let inPlace: ResponseBuffer | null = null
  try {
    const rowsAt = roundRows(arena, reader, plan, region)
    const mask = plan.mask ? computeMask(request, rows, plan.paddingRow) : null
    const { shape, elementType, answerBytes: byteCount } = plan
    const head = writeHead && ((bodyBytes: number) => writeHead(sequence, bodyBytes))
    const gathered = {
      table: entry.record.name,
      version: number,
      sequence,
      shape,
      elementType,
      rowsAt,
      byteCount,
      mask,
      writeHead: head,
    }
    if (head !== undefined && encoding !== 'json')
      inPlace = sendInPlace(answers, { region, rowsAt, byteCount }, head)
    if (inPlace !== null) return describeAnswer(gathered, encoding, inPlace)
    return encodeAnswer(gathered, encoding, arena, buffers, printer)
  } finally {
    if (inPlace === null) arena.release(region)
  }
}

/**
 * Returns the place of the answer's rows. They are rounded to 16 bits if the answer's numbers are, and
 * widened again if they will be printed.
 */
const roundRows = (arena: Arena, reader: TableReader, plan: LookupPlan, region: Region): number => {
  const rowsAt = region.at + plan.rowsAt
  if (!plan.narrow || plan.elementType === 'uint8') return rowsAt
  const [kernels] = reader.kernels(arena.memory)
  const narrowAt = region.at + plan.narrowAt
  const numberCount = plan.gatheredBytes / 4
  kernels.convert('float32', plan.elementType, rowsAt, numberCount, narrowAt)
  if (!plan.widen) return narrowAt
  kernels.convert(plan.elementType, 'float32', narrowAt, numberCount, rowsAt)
  return rowsAt
}

/**
 * Creates the services of a thread that answers lookups and receives updates. If `pool` is null, the thread
 * gathers all rows itself.
 */
export const createLookupServices = (pool: ComputePool | null): LookupServices => {
  const arena = new Arena(LIMITS.lookupBytesInFlightMax)
  // These tables stay reserved as long as the arena exists.
  const tables = arena.reserve(PRINT_TABLES_BYTES)
  return {
    arena,
    updateBodies: new ArenaShare(arena, LIMITS.updateBytesInFlightMax),
    answers: new ArenaShare(arena, LIMITS.answerBytesInFlightMax),
    buffers: new ResponseBuffers(LIMITS.responseBytesIdleMax),
    printer: instantiateJsonKernels(arena.memory, tables.at),
    pool,
  }
}
