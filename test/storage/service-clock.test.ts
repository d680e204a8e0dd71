import { afterEach, expect, test, vi } from 'vitest'
import { ServiceClock } from '../../src/storage/service-clock.ts'
import { makeFolder, openSample, sampleKey } from './samples.ts'

const HOUR_MS = 60 * 60 * 1000

afterEach(() => void vi.useRealTimers())

test('The service clock goes on from the newest stored time, whatever the system says', () => {
  const clock = new ServiceClock([5_000, 7_000])
  expect(clock.now()).toBeGreaterThanOrEqual(7_000)
  expect(clock.now()).toBeLessThan(7_000 + HOUR_MS)
})

test('A clock that is 25 hours ahead for one start makes no key older', () => {
  const directory = makeFolder()
  let store = openSample(directory)
  store.commit({ keys: [sampleKey('a', { createdAtMs: store.clock.now() })] })
  store.close()
  vi.useFakeTimers({ now: Date.now() + 25 * HOUR_MS, toFake: ['Date'] })
  store = openSample(directory)
  store.commit({ keys: [sampleKey('b', { createdAtMs: store.clock.now() })] })
  store.close()
  vi.useRealTimers()
  store = openSample(directory)
  store.commit({ keys: [sampleKey('c', { createdAtMs: store.clock.now() })] })
  for (const name of ['a', 'b', 'c']) expect(store.findKey(sampleKey(name).hash)).not.toBe(null)
})
