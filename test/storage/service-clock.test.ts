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

test('A key counts for 24 hours of the clock, also while no newer key has dropped it', () => {
  const directory = makeFolder()
  const store = openSample(directory)
  const [first, hour] = [1_700_000_000_000, HOUR_MS]
  const ages = { a: 25 * hour, b: 23 * hour, c: 0 }
  store.commit({
    keys: Object.entries(ages).map(([name, ageMs]) =>
      sampleKey(name, { createdAtMs: first + 25 * hour - ageMs }),
    ),
  })
  store.close()
  const again = openSample(directory)
  expect(Object.keys(ages).filter((name) => again.findKey(sampleKey(name).hash) !== null)).toEqual(['b', 'c'])
})
