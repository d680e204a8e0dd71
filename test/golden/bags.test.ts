import { describe, expect, test } from 'vitest'
import { writeNpyHeader } from '../../src/formats/npy.ts'
import { writeSafetensorsHeader } from '../../src/formats/safetensors.ts'
import { type BagKernels, type BagOperation, instantiateBagKernels } from '../../src/kernels/bag.ts'
import { createArenaMemory, createTableMemory } from '../../src/kernels/memories.ts'
import { makeReferenceBagKernels } from '../../src/kernels/reference/bag.ts'
import type { Mode } from '../../src/core/types.ts'
import { planBags } from '../../src/lookup/bags.ts'
import { writeMembers } from '../../src/lookup/pooling.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { resolveRows } from '../../src/tables/resolve.ts'
import { expectNumbers, flatten, type GoldenCase, type Nested, readBinary, readSuite } from './golden.ts'
import { serveGoldens } from './service.ts'

/** The cases that must be answered; golden.test.ts runs those that may be refused, as JSON. */
const cases = readSuite('bags').filter(
  ({ expect: expected, expect_error: refusal }) => expected !== undefined && refusal === undefined,
)

interface BagRequest {
  indices: Nested[]
  offsets?: number[]
  weights?: Nested[]
  include_last_offset?: boolean
  pooling: BagOperation
  mode?: Mode
  fill_value?: number
  padding_index?: number
}

/** The arrays of a case as flat ids and offsets, which are computed when the ids are nested. */
const flattenBags = (golden: GoldenCase) => {
  const { indices, offsets, weights, ...options } = golden.request as unknown as BagRequest
  const ids = flatten(indices)
  const sizes = offsets === undefined ? indices.map((bag) => flatten(bag).length) : []
  const starts = offsets ?? sizes.map((_, bag) => sizes.slice(0, bag).reduce((sum, size) => sum + size, 0))
  return { ids, offsets: starts, weights: weights && flatten(weights), options }
}

const { send, provideTable } = serveGoldens()

const SAFETENSORS = 'application/x-safetensors'
const NPY = 'application/x-npy'
const RAW = 'application/octet-stream'

/** A body with the ids of a case; offsets and weights are in the body or, for npy and raw, in `query`. */
const makeBody = (
  type: typeof SAFETENSORS | typeof NPY | typeof RAW,
  golden: GoldenCase,
  query: URLSearchParams,
): Buffer => {
  const { ids, offsets, weights } = flattenBags(golden)
  const idBytes = Buffer.from(BigInt64Array.from(ids, BigInt).buffer)
  if (type !== SAFETENSORS) {
    query.set('offsets', offsets.join())
    if (weights !== undefined) query.set('weights', weights.join())
    if (type === RAW) query.set('index_dtype', 'int64')
    return Buffer.concat([...(type === NPY ? [writeNpyHeader('int64', [ids.length])] : []), idBytes])
  }
  const tensors = [
    { name: 'indices', elementType: 'int64' as const, shape: [ids.length] },
    { name: 'offsets', elementType: 'int32' as const, shape: [offsets.length] },
    ...(weights === undefined
      ? []
      : [{ name: 'weights', elementType: 'float32' as const, shape: [weights.length] }]),
  ]
  const data = [
    idBytes,
    Buffer.from(Int32Array.from(offsets).buffer),
    Buffer.from(Float32Array.from(weights ?? []).buffer),
  ]
  return Buffer.concat([writeSafetensorsHeader(tensors).header, ...data])
}

describe.each([SAFETENSORS, NPY, RAW] as const)('Golden suite bags as %s', (type) => {
  test.each(cases)('$name', async (golden) => {
    await provideTable(golden)
    const query = new URLSearchParams(
      Object.entries(flattenBags(golden).options).map(([name, value]): [string, string] => [
        name,
        String(value),
      ]),
    )
    const bytes = makeBody(type, golden, query)
    const answer = await send('POST', `/v1/tables/golden/lookup?${query}`, { type, bytes }, type)
    expect(answer.status, answer.bytes.toString()).toBe(200)
    const { shape, values } = readBinary(answer, type)
    expect(shape).toEqual(golden.expect?.shape)
    expectNumbers(Array.from(values), flatten(golden.expect?.embeddings ?? []), golden)
  })
})

describe('Golden suite bags by the kernels alone', () => {
  const PAGE = 65_536
  const tableMemory = createTableMemory(PAGE)
  const arenaMemory = createArenaMemory(PAGE)
  const FILL_AT = 64
  const IDS_AT = 1024
  const OFFSETS_AT = 4096
  const WEIGHTS_AT = 8192
  const OUT_AT = 16_384
  const kernels = instantiateBagKernels(tableMemory, arenaMemory)
  const reference = makeReferenceBagKernels(tableMemory.buffer, arenaMemory.buffer)

  const poolCase = (golden: GoldenCase, side: BagKernels): number[] => {
    const { rows = 0, dim = 1, values = [], settings = {} } = golden.table ?? {}
    const { ids, offsets, weights, options } = flattenBags(golden)
    const request = {
      indices: Float64Array.from(ids),
      shape: [ids.length],
      options: { pooling: options.pooling, include_last_offset: options.include_last_offset },
    }
    const bags = planBags({
      ...request,
      offsets: { values: Int32Array.from(offsets), shape: [offsets.length] },
      ...(weights && { weights: { values: Float32Array.from(weights), shape: [ids.length] } }),
    })
    if (bags === null) return expect.unreachable('every case pools')
    const { buffer } = arenaMemory
    new Float32Array(tableMemory.buffer, ROWS_AT, rows * dim).set(flatten(values))
    new Float32Array(buffer, FILL_AT, dim).fill(options.fill_value ?? NaN)
    const members = {
      ids: new Int32Array(buffer, IDS_AT, ids.length),
      offsets: new Int32Array(buffer, OFFSETS_AT, bags.bagCount + 1),
      weights: bags.weights && new Float32Array(buffer, WEIGHTS_AT, ids.length),
    }
    resolveRows(request.indices, request.shape, members.ids, rows, options.mode ?? 'error')
    const padding = options.padding_index ?? (settings.padding_index as number | undefined)
    writeMembers(bags, padding === undefined ? -1 : (padding + rows) % rows, members)
    const places = { offsetsAt: OFFSETS_AT, weightsAt: bags.weights === null ? 0 : WEIGHTS_AT, outAt: OUT_AT }
    const job = { operation: bags.operation, bagCount: bags.bagCount, dim, ...places }
    side.pool(job, { dtype: 'float32', idsAt: IDS_AT, fillAt: FILL_AT, firstRow: 0, rowCount: rows })
    return Array.from(new Float32Array(buffer, OUT_AT, bags.bagCount * dim))
  }

  test.each(cases)('$name', (golden) => {
    const want = flatten(golden.expect?.embeddings ?? [])
    expectNumbers(poolCase(golden, kernels), want, golden)
    expectNumbers(poolCase(golden, reference), want, golden)
  })
})
