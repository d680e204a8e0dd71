import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { parseCores, placeProcesses } from '../../load/measure/placement.ts'
import { startPolling } from '../../load/wires/polling.ts'

test.each([
  ['0-3,6', [0, 1, 2, 3, 6]],
  ['5', [5]],
  ['2,4-5', [2, 4, 5]],
  ['', []],
])('the list %j names the cores %j', (list, cores) => expect(parseCores(list)).toEqual(cores))

test('Without placement commands have no prefix', () => {
  expect(placeProcesses(false)).toEqual({
    apart: false,
    prefix: [],
    note: 'Client and servers share the cores as the system likes: asked for',
  })
})

test('A polling client counts its idle time', async () => {
  const polling = startPolling(true)
  onTestFinished(() => polling.stop())
  while (polling.idleMs() === 0) await sleep(1)
  polling.stop()
  await sleep(1)
  const idleMs = polling.idleMs()
  await sleep(5)
  expect(polling.idleMs()).toBe(idleMs)
})

test('A client that sleeps has no idle time', async () => {
  const polling = startPolling(false)
  await sleep(5)
  expect(polling.idleMs()).toBe(0)
})
