import { describe, expect, test } from 'vitest'
import {
  encodeBody,
  encodeRequest,
  headersOf,
  makeIdPool,
  pathOf,
  planRequests,
  shortestFloat32,
} from '../../load/wires/requests.ts'
import { gatherRows, makeGradients, makeTable } from '../../load/rows.ts'
import { listScenarios, rowCountFor, type Scenario, TABLES } from '../../load/scenarios.ts'

const IDS = makeIdPool('zipf', 1_000)
const find = (id: string): Scenario => listScenarios(false).find((scenario) => scenario.id === id) as Scenario

describe('scenarios', () => {
  test('have unique ids, and name existing tables with their dimensions', () => {
    const scenarios = listScenarios(false)
    expect(new Set(scenarios.map(({ id }) => id)).size).toBe(scenarios.length)
    for (const { table, dim, durability } of scenarios)
      expect(TABLES).toContainEqual({ name: table, dim, durability })
  })

  test('cover lookups and gradients in every encoding, in memory and on disk', () => {
    const ids = listScenarios(true).map(({ id }) => id)
    for (const id of [
      'lookup-binary-d16-n8-zipf-c16',
      'lookup-binary-d16-n1024-zipf-c16',
      'lookup-binary-d64-n1024-zipf-c16',
      'lookup-json-d64-n64-zipf-c16',
      'gradients-safetensors-d64-n64-zipf-c16',
      'gradients-safetensors-d64-n1024-zipf-c16',
      'gradients-safetensors-d64-n64-zipf-c16-disk',
    ]) {
      expect(ids).toContain(id)
    }
    for (const count of [1, 4, 16, 64]) expect(ids).toContain(`lookup-binary-d64-n64-zipf-c${count}`)
  })

  test('of a quick run are a subset of the full ones, on smaller tables', () => {
    const full = listScenarios(false)
    const quick = listScenarios(true)
    expect(quick.length).toBeLessThan(full.length)
    expect(full).toEqual(expect.arrayContaining(quick))
    expect([rowCountFor(true), rowCountFor(false)]).toEqual([100_000, 1_000_000])
  })

  test('never look rows up in a table that another scenario changes', () => {
    const changed = new Set(
      listScenarios(false)
        .filter(({ kind }) => kind === 'gradients')
        .map(({ table }) => table),
    )
    for (const { kind, table } of listScenarios(false))
      expect(kind === 'lookup' && changed.has(table)).toBe(false)
  })
})

describe('requests', () => {
  test('are the same in every run', () => {
    const scenario = find('gradients-safetensors-d64-n64-zipf-c16')
    expect(planRequests(scenario, makeIdPool('zipf', 1_000))).toEqual(planRequests(scenario, IDS))
  })

  test('in binary have their ids as little-endian int32', () => {
    const scenario = find('lookup-binary-d16-n8-zipf-c16')
    const [{ ids }] = planRequests(scenario, IDS)
    const body = encodeBody(scenario, { ids })
    expect(body.length).toBe(32)
    expect([...ids]).toEqual(Array.from({ length: 8 }, (_, index) => body.readInt32LE(index * 4)))
  })

  test('in JSON have their ids as numbers', () => {
    const scenario = find('lookup-json-d64-n8-zipf-c16')
    for (const plan of planRequests(scenario, IDS)) {
      expect(JSON.parse(encodeBody(scenario, plan).toString())).toEqual({ indices: [...plan.ids] })
    }
  })

  test('with gradients have the same content in JSON and in safetensors', () => {
    const scenario = find('gradients-safetensors-d64-n64-zipf-c16')
    const [plan] = planRequests(scenario, IDS)
    const binary = encodeBody(scenario, plan)
    const { indices, gradients } = JSON.parse(
      encodeBody({ ...scenario, encoding: 'json' }, plan).toString(),
    ) as {
      indices: number[]
      gradients: number[][]
    }
    const start = 8 + Number(binary.readBigUInt64LE(0))
    const header = JSON.parse(binary.toString('utf8', 8, start))
    expect(header).toEqual({
      indices: { dtype: 'I64', shape: [64], data_offsets: [0, 512] },
      gradients: { dtype: 'F32', shape: [64, 64], data_offsets: [512, 512 + 64 * 64 * 4] },
    })
    expect(binary.length).toBe(start + 512 + 64 * 64 * 4)
    expect(indices).toEqual(
      Array.from({ length: 64 }, (_, index) => Number(binary.readBigInt64LE(start + index * 8))),
    )
    gradients
      .flat()
      .forEach((value, index) => expect(Math.fround(value)).toBe(binary.readFloatLE(start + 512 + index * 4)))
  })

  test('are complete HTTP requests with their length', () => {
    const scenario = find('lookup-binary-d16-n8-zipf-c16')
    const bytes = encodeRequest('127.0.0.1', pathOf(scenario), headersOf(scenario), Buffer.from('abcd'))
    expect(bytes.toString()).toBe(
      'POST /v1/tables/load16/lookup HTTP/1.1\r\nhost: 127.0.0.1\r\n' +
        'content-type: application/octet-stream\r\naccept: application/octet-stream\r\n' +
        'content-length: 4\r\n\r\nabcd',
    )
  })

  test('accept JSON after an update in any format', () => {
    expect(headersOf(find('gradients-safetensors-d64-n64-zipf-c16'))).toEqual({
      'content-type': 'application/x-safetensors',
      accept: 'application/json',
    })
  })
})

describe('the values of tables', () => {
  test('follow from a seed and lie within bounds', () => {
    const table = makeTable(100, 16, 1)
    expect(makeTable(100, 16, 1)).toEqual(table)
    expect(makeTable(100, 16, 2)).not.toEqual(table)
    expect(table.values.every((value) => Math.abs(value) <= Math.fround(0.05))).toBe(true)
  })

  test('are returned in the order of the requested rows', () => {
    const table = { rowCount: 3, dim: 2, values: Float32Array.of(0, 1, 10, 11, 20, 21) }
    expect([...gatherRows(table, Int32Array.of(2, 0, 2))]).toEqual([20, 21, 0, 1, 20, 21])
  })

  test('are printed with the fewest digits that read back as the same float32', () => {
    expect([0.1, 0.5, -3, 1e-7, 16_777_216].map((value) => shortestFloat32(Math.fround(value)))).toEqual([
      '0.1',
      '0.5',
      '-3',
      '1e-7',
      '16777216',
    ])
    for (const value of makeGradients(50, 16, 3)) {
      const text = shortestFloat32(value)
      expect(Math.fround(Number(text))).toBe(value)
      const digits = text.replace(/e.*|[-.]/g, '').replace(/^0+/, '').length
      if (digits > 1) expect(Math.fround(Number(value.toPrecision(digits - 1)))).not.toBe(value)
    }
  })
})
