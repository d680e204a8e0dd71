import { expect, test } from 'vitest'
import { makeHistogram } from '../../load/measure/histogram.ts'

test('Percentiles of 1 to 10,000 microseconds are correct to three digits', () => {
  const histogram = makeHistogram()
  for (let us = 10_000; us >= 1; us--) histogram.record(us / 1_000)
  const latency = histogram.read()
  const within = (value: number, wanted: number): void =>
    expect(Math.abs(value - wanted)).toBeLessThanOrEqual(wanted / 1_000)
  within(latency.p50Us, 5_000)
  within(latency.p90Us, 9_000)
  within(latency.p99Us, 9_900)
  within(latency.p999Us, 9_990)
  within(latency.maxUs, 10_000)
  expect(histogram.count()).toBe(10_000)
})

test('Answers within one millisecond are distinguished', () => {
  const histogram = makeHistogram()
  for (const latencyMs of [0.0412, 0.0409, 0.087, 0.25]) histogram.record(latencyMs)
  expect(histogram.read()).toMatchObject({ p50Us: 41, p90Us: 250, maxUs: 250 })
})

test('One slow answer among a thousand affects the 99.9th percentile and above, not below', () => {
  const histogram = makeHistogram()
  for (let index = 0; index < 999; index++) histogram.record(0.1)
  histogram.record(50)
  histogram.record(50)
  expect(histogram.read()).toMatchObject({ p50Us: 100, p99Us: 100 })
  expect(histogram.read().p999Us).toBeGreaterThan(49_900)
})

test('Values out of range are counted at the ends of the range', () => {
  const histogram = makeHistogram()
  histogram.record(0)
  histogram.record(-1)
  histogram.record(3_600_000)
  expect(histogram.read().p50Us).toBe(1)
  expect(histogram.read().maxUs).toBeGreaterThan(599_000_000)
})

test('After a reset the histogram is empty, which reads as zero', () => {
  const histogram = makeHistogram()
  histogram.record(7)
  histogram.reset()
  expect(histogram.count()).toBe(0)
  expect(histogram.read()).toEqual({ p50Us: 0, p90Us: 0, p99Us: 0, p999Us: 0, maxUs: 0 })
})
