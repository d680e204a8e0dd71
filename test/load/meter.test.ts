import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { makeMeter, median, medianOf, type PreparedRequest } from '../../load/measure/meter.ts'
import { readOptions } from '../../load/options.ts'
import { startPolling } from '../../load/wires/polling.ts'
import { listScenarios } from '../../load/scenarios.ts'
import { makeMeasure } from './fixed-results.ts'

const REQUEST: PreparedRequest = { bytes: Buffer.alloc(0), answerBytesMin: 10, answerBytesMax: 12 }

test('Answers before the window are checked but not counted', () => {
  const meter = makeMeter(undefined, 4, startPolling(false))
  meter.answer(REQUEST, 200, 10, 900)
  expect(() => meter.answer(REQUEST, 200, 9, 900)).toThrow('expected 200 with 10 to 12')
  meter.begin()
  meter.answer(REQUEST, 200, 12, 1)
  meter.answer(REQUEST, 200, 11, 3)
  const run = meter.end()
  expect(run).toMatchObject({ requestCount: 2, p50Us: 1_000, serverRssBytes: undefined })
  expect(run.maxUs).toBeLessThan(4_000)
  expect(run).not.toHaveProperty('serverCpuPerRequestUs')
})

test('The time in which the client only polled does not count as work', () => {
  const polling = { ...startPolling(false), idleMs: () => 0 }
  const meter = makeMeter(undefined, 1, polling)
  meter.begin()
  const beganMs = performance.now()
  while (performance.now() < beganMs + 50);
  polling.idleMs = () => (performance.now() - beganMs) * 0.75
  meter.answer(REQUEST, 200, 10, 1)
  const { clientCores } = meter.end()
  expect(clientCores).toBeGreaterThan(0)
  expect(clientCores).toBeLessThan(0.5)
})

test('The median of an even number of values is the mean of the two in the middle', () => {
  expect(median([5, 1, 3])).toBe(3)
  expect(median([10, 1, 3, 5])).toBe(4)
})

test('Medians are taken for each figure, and a figure that a repeat lacks is omitted', () => {
  const [scenario] = listScenarios(true)
  const runs = [1, 5, 2].map((factor) => makeMeasure(scenario, factor))
  expect(medianOf(runs)).toEqual(runs[2])
  delete runs[1].otherCores
  expect(medianOf(runs)).not.toHaveProperty('otherCores')
})

test('Options have defaults, with shorter windows in a quick run', () => {
  expect(readOptions([])).toMatchObject({
    quick: false,
    windowSeconds: 0.4,
    warmupSeconds: 0.1,
    repeatCount: 5,
    python: 'python3',
    url: undefined,
    free: false,
    svgPath: undefined,
    fromPath: undefined,
  })
  expect(readOptions(['--quick', '--repeats', '2'])).toMatchObject({
    quick: true,
    windowSeconds: 0.3,
    repeatCount: 2,
  })
  expect(readOptions(['--svg', 'docs/load.svg', '--free'])).toMatchObject({
    svgPath: resolve('docs/load.svg'),
    free: true,
  })
  expect(readOptions(['--peers', '-'])?.peerPattern.test('fastapi')).toBe(false)
  expect(readOptions(['--help'])).toBeUndefined()
})

test.each([
  [['--seconds', '0']],
  [['--seconds', 'long']],
  [['--repeats', '-1']],
  [['--nonsense']],
  [['extra']],
])('options %j are refused', (args) => {
  expect(() => readOptions(args)).toThrow()
})
