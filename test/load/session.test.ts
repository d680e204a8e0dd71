import { describe, expect, test } from 'vitest'
import { renderReport } from '../../load/report/write-report.ts'
import { makeTable } from '../../load/rows.ts'
import { listScenarios, type Scenario, SEEDS } from '../../load/scenarios.ts'
import { runSession } from '../../load/session.ts'
import { makeResults } from './fixed-results.ts'
import { type Stub, startStub } from './stub-server.ts'

const OPTIONS = { quick: true, windowSeconds: 0.1, warmupSeconds: 0.02, repeatCount: 2 }
const ROW_COUNT = 500

const find = (pattern: RegExp): Scenario[] => listScenarios(false).filter(({ id }) => pattern.test(id))

const run = (stub: Stub, pattern: RegExp) =>
  runSession({
    targets: [stub.target],
    scenarios: find(pattern),
    rowCount: ROW_COUNT,
    options: OPTIONS,
    apart: false,
    settleSeconds: 0.05,
    say: () => {},
  })

describe('a load session', () => {
  test('uploads the tables, sets the optimizer, and measures in repeats', async () => {
    const stub = await startStub()
    const results = await run(stub, /lookup-(binary-d16|json-d64)-n8-zipf-c16/)
    expect(stub.seen).toEqual(
      ['load16', 'load64'].flatMap((name) => [`PUT /v1/tables/${name}`, `PATCH /v1/tables/${name}`]),
    )
    expect(stub.tables.get('load16')?.values).toEqual(makeTable(ROW_COUNT, 16, SEEDS.values).values)
    expect(results.scenarios.map(({ id }) => id)).toEqual([
      'lookup-binary-d16-n8-zipf-c16',
      'lookup-json-d64-n8-zipf-c16',
    ])
    for (const { measured } of results.scenarios) {
      expect(measured.gatherd.runs).toHaveLength(2)
      expect(measured.gatherd.median.requestCount).toBeGreaterThan(0)
    }
    expect(results.targets[0].uploads).toMatchObject(
      [16, 64].map((dim) => ({ table: `load${dim}`, rowCount: ROW_COUNT, dim })),
    )
    expect(renderReport({ ...makeResults(), ...results })).toContain('lookup-json-d64-n8-zipf-c16')
  })

  test('measures some scenarios at half of their maximal rate as well', async () => {
    const results = await run(await startStub(), /lookup-binary-d64-n64-zipf-c16/)
    const [open] = results.openLoop
    expect(open.scenarioId).toBe('lookup-binary-d64-n64-zipf-c16')
    expect(open.ratePerSecond).toBe(
      Math.round(results.scenarios[0].measured.gatherd.median.requestsPerSecond / 2),
    )
    expect(open.measured.gatherd.runs).toHaveLength(2)
  })

  test('checks one update step before it measures updates', async () => {
    const stub = await startStub()
    const results = await run(stub, /gradients-json-d64-n1024/)
    expect(results.scenarios[0].measured.gatherd.median.requestCount).toBeGreaterThan(0)
    expect(stub.tables.get('update64')?.sequence).toBeGreaterThan(2)
  })
})

describe('a load session stops at once', () => {
  test.each([/lookup-binary-d16-n8-zipf/, /lookup-json-d64-n8-zipf/])(
    'when one bit of a row is wrong (%s)',
    async (pattern) => {
      const stub = await startStub()
      stub.spoil = (rows) => {
        new Uint32Array(rows.buffer)[17] ^= 1
      }
      await expect(run(stub, pattern)).rejects.toMatchObject({
        name: 'WrongAnswer',
        message: expect.stringContaining('uploaded'),
      })
    },
  )

  test('when an update has the wrong effect', async () => {
    const stub = await startStub()
    stub.spoil = (rows) => {
      rows[70] += 1e-4
    }
    await expect(run(stub, /gradients-json-d64-n1024/)).rejects.toMatchObject({
      name: 'WrongAnswer',
      message: expect.stringContaining('value 70 after one step'),
    })
  })

  test('when an upload is refused', async () => {
    const stub = await startStub()
    stub.uploadStatus = 507
    await expect(run(stub, /lookup-binary-d16-n8-zipf/)).rejects.toThrow('status 507')
  })
})
