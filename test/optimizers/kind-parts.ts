/**
 * Finds the parts that an optimizer kind lacks, by running each part of the service that depends on kinds.
 */
import { instantiateApplyKernels, type StepKernels } from '../../src/kernels/apply.ts'
import { createArenaMemory } from '../../src/kernels/memories.ts'
import { makeReferenceSteps } from '../../src/kernels/reference/optimizer.ts'
import type { OptimizerKind } from '../../src/optimizers/kind.ts'

/** The modules that depend on the list of kinds, loaded with the list under examination. */
export const loadParts = async () => ({
  ...(await import('../../src/optimizers/kinds.ts')),
  ...(await import('../../src/optimizers/complete.ts')),
  ...(await import('../../src/optimizers/state-tensors.ts')),
  ...(await import('../../src/optimizers/step.ts')),
  ...(await import('../../src/http/schemas/optimizer.ts')),
  ...(await import('../../src/http/validate.ts')),
  ...(await import('../../src/storage/journal-record.ts')),
  ...(await import('../../src/storage/snapshot-format.ts')),
})

type Parts = Awaited<ReturnType<typeof loadParts>>

const ROWS = 3
const DIM = 5

/**
 * Returns the names of the parts that a kind lacks, or none when it is complete. Each part is run and read
 * back, not inspected, so that a kind is found that compiles but is refused at the next start.
 */
export const findMissingParts = (parts: Parts, kind: OptimizerKind): string[] => {
  const trials: Record<string, () => boolean> = {
    schema: () => hasSchema(parts, kind),
    tensors: () => kind.state === null || hasTensors(parts, kind),
    'initial state': () => Number.isFinite(parts.stateInitial(parts.completeOptimizer({ kind: kind.kind }))),
    'kernel step': () => stepsAlike(parts, kind),
    'journal record': () => kind.state === null || returnsFromJournal(parts, kind),
    'snapshot header': () => kind.state === null || returnsFromSnapshot(parts, kind),
  }
  return Object.entries(trials).flatMap(([part, isThere]) => (attempt(isThere) ? [] : [part]))
}

/** A part that throws counts as missing. */
const attempt = (isThere: () => boolean): boolean => {
  try {
    return isThere()
  } catch {
    return false
  }
}

const hasSchema = (parts: Parts, { kind, defaults, ranges }: OptimizerKind): boolean => {
  const input = parts.compileChecker(parts.OptimizerInput)({ kind })
  const complete = parts.completeOptimizer(input)
  const names = Object.keys(defaults)
  return (
    Object.keys(ranges).toSorted().join() === names.toSorted().join() &&
    complete.learning_rate > 0 &&
    parts.compileChecker(parts.OptimizerInput)(complete) === complete
  )
}

const hasTensors = (parts: Parts, { kind }: OptimizerKind): boolean => {
  const tensors = parts.stateTensors(kind, ROWS, DIM)
  const length = parts.stateLength({ kind }, DIM)
  const columns = tensors.flatMap(({ from, width }) => Array.from({ length: width }, (_, i) => from + i))
  const areNamed = tensors.every(({ name }) => /^optimizer\/[a-z_]\w*$/.test(name))
  const areDistinct = new Set(tensors.map(({ name }) => name)).size === tensors.length
  return length > 0 && areNamed && areDistinct && columns.every((column, i) => column === i)
}

/** Both implementations must change every weight to the same finite number. */
const stepsAlike = (parts: Parts, { kind }: OptimizerKind): boolean => {
  const memory = createArenaMemory(4096)
  const copy = new SharedArrayBuffer(memory.buffer.byteLength)
  const results = [
    takeStep(parts, kind, instantiateApplyKernels(memory), memory.buffer),
    takeStep(parts, kind, makeReferenceSteps(copy), copy),
  ]
  const [weights] = results
  return (
    results.every(({ isFinite }) => isFinite) &&
    weights.numbers.join() === results[1].numbers.join() &&
    weights.numbers.slice(0, ROWS * DIM).every((weight, i) => Number.isFinite(weight) && weight < i + 1)
  )
}

const takeStep = (parts: Parts, kind: string, kernels: StepKernels, arena: ArrayBufferLike) => {
  const optimizer = parts.completeOptimizer({ kind })
  const numbers = new Float32Array(arena)
  const count = ROWS * DIM
  numbers.set(Float32Array.from({ length: count }, (_, i) => i + 1))
  numbers.fill(0.5, 64, 64 + count)
  const length = parts.stateLength(optimizer, DIM)
  numbers.fill(parts.stateInitial(optimizer), 128, 128 + ROWS * length)
  const rows = { weightsAt: 0, gradientsAt: 256, stateAt: 512, rowCount: ROWS, dim: DIM, step: 1 }
  const isFinite = parts.applyStep(kernels, optimizer, undefined, rows)
  return { isFinite, numbers: numbers.slice(0, 128 + ROWS * length) }
}

const returnsFromJournal = (parts: Parts, { kind }: OptimizerKind): boolean => {
  const length = parts.stateLength({ kind }, DIM)
  const place = { file: 'catalog.db', tableId: 1, version: 1, sequence: 1 }
  const bytes = parts.encodeRecord({
    ...place,
    step: 1,
    stateEpoch: 0,
    updatedAtMs: 1_700_000_000_000,
    durability: 'disk',
    ids: new Int32Array([0]),
    rowBytes: DIM * 4,
    rows: new Uint8Array(DIM * 4),
    state: { kind, initial: 0.5, length, rows: new Float32Array(length).fill(2) },
  })
  const record = parts.decodeRecord(bytes, place)
  parts.checkRecordFits(record, { rows: ROWS, dim: DIM, dtype: 'float32' }, place.file)
  return record.state?.kind === kind && record.state.rows.every((number) => number === 2)
}

const returnsFromSnapshot = (parts: Parts, { kind }: OptimizerKind): boolean => {
  const state = { kind, length: parts.stateLength({ kind }, DIM), epoch: 1, initial: 0.5 }
  const { header, fileBytes } = parts.planSnapshot({
    tableId: 1,
    table: 'user',
    version: 1,
    rows: ROWS,
    dim: DIM,
    dtype: 'float32',
    startSequence: 1,
    step: 1,
    updatedAtMs: 1_700_000_000_000,
    state,
  })
  return parts.readSnapshotHeader('a.safetensors', header, fileBytes).facts.state?.kind === kind
}
