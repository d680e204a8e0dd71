import { describe, expect, test } from 'vitest'
import { describeProgress, showProgress } from '../../src/cli/progress.ts'
import { formatBytes, formatDuration, formatRate } from '../../src/cli/formatting.ts'

const show = (isWatched: boolean, totalBytes: number | null = 1000, doneBytes = 0) => {
  let at = 0
  const reports: string[] = []
  const progress = showProgress(
    { isWatched, report: (text) => void reports.push(text) },
    'user',
    totalBytes,
    doneBytes,
    () => at,
  )
  return {
    reports,
    progress,
    add: (bytes: number, atMs: number) => {
      at = atMs
      progress.add(bytes)
    },
  }
}

describe('The progress of a transfer', () => {
  test('is one line that is redrawn at most ten times a second on a terminal', () => {
    const { reports, progress, add } = show(true)
    add(100, 50)
    add(100, 100)
    add(100, 150)
    add(100, 200)
    progress.end()
    expect(reports).toEqual([
      '\r\x1b[Kuser  20 %  200 B of 1.0 kB  2.0 kB/s  0.4 s left',
      '\r\x1b[Kuser  40 %  400 B of 1.0 kB  2.0 kB/s  0.3 s left',
      '\r\x1b[K',
    ])
  })

  test('is a plain line every five seconds when the output is not a terminal', () => {
    const { reports, progress, add } = show(false)
    for (let second = 1; second <= 10; second++) add(50, second * 1000)
    progress.end()
    expect(reports).toEqual([
      'user  25 %  250 B of 1.0 kB  50 B/s  15 s left\n',
      'user  50 %  500 B of 1.0 kB  50 B/s  10 s left\n',
    ])
  })

  test('clears its line before another message is printed', () => {
    const { reports, progress, add } = show(true)
    add(100, 100)
    progress.tell('trying again')
    expect(reports.slice(1)).toEqual(['\r\x1b[K', 'trying again\n'])
  })

  test('names what is being waited for on a terminal only', () => {
    const watched = show(true)
    watched.progress.wait('the table is being made')
    watched.progress.end()
    expect(watched.reports).toEqual(['\r\x1b[Kuser  the table is being made', '\r\x1b[K'])
    const logged = show(false)
    logged.progress.wait('the table is being made')
    logged.progress.end()
    expect(logged.reports).toEqual([])
  })

  test('shows the rate of the last seconds, not counting bytes that were already uploaded', () => {
    const { reports, add } = show(false, 10_000, 5_000)
    add(100, 5_000)
    add(100, 10_000)
    add(1_000, 15_000)
    expect(reports.map((line) => line.split('  ')[3])).toEqual(['20 B/s', '20 B/s', '200 B/s'])
    expect(reports[2]).toBe('user  62 %  6.2 kB of 10.0 kB  200 B/s  19 s left\n')
  })

  test('shows neither 100 % before the end nor an unknown remaining time', () => {
    expect(describeProgress(999, 1000, 0, 1000)).toBe('99 %  999 B of 1.0 kB  0 B/s')
    expect(describeProgress(500, null, 500, 1000)).toBe('500 B  500 B/s')
    expect(describeProgress(0, 1000, -500, 1000)).toBe('0 %  0 B of 1.0 kB  0 B/s')
  })
})

test('Bytes, times and rates are printed in short units', () => {
  expect([0, 999, 1000, 99_949, 99_950, 999_500, 128_000_128, 2.5e12, 3e15].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1.0 kB',
    '99.9 kB',
    '100 kB',
    '1.0 MB',
    '128 MB',
    '2.5 TB',
    '3000 TB',
  ])
  expect([0, 9_949, 9_950, 59_400, 59_600, 3_599_000, 3_600_000, 7_530_000].map(formatDuration)).toEqual([
    '0.0 s',
    '9.9 s',
    '10 s',
    '59 s',
    '1 min 0 s',
    '59 min 59 s',
    '1 h 0 min',
    '2 h 5 min',
  ])
  expect([formatRate(310e6, 1000), formatRate(5, 0)]).toEqual(['310 MB/s', '0 B/s'])
})
