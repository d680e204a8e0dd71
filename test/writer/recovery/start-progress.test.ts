import { describe, expect, test } from 'vitest'
import { StartProgress } from '../../../src/writer/recovery/start-progress.ts'

const MiB = 1024 * 1024

/** Makes a progress report whose clock only `pass` advances. */
const start = (isTTY: boolean) => {
  const written: string[] = []
  let nowMs = 1_000
  const progress = new StartProgress({ isTTY, write: (text) => written.push(text) }, () => nowMs)
  const tell = (share: number, table = 'user') =>
    progress.tell({
      ...{ table, version: 3, loadedBytes: share * 100 * MiB, totalBytes: 100 * MiB },
      ...{ loadedRows: share * 1_000, totalRows: 1_000 },
    })
  return { written, progress, tell, pass: (ms: number) => (nowMs += ms) }
}

describe('Progress in a log', () => {
  test('is a line of JSON every two seconds, with rate and time left', () => {
    const { written, tell, pass, progress } = start(false)
    tell(0.1)
    pass(1_999)
    tell(0.2)
    expect(written).toEqual([])
    pass(1)
    tell(0.25)
    pass(1_000)
    tell(0.5)
    expect(written.length).toBe(1)
    expect(written[0].endsWith('\n')).toBe(true)
    expect(JSON.parse(written[0])).toEqual({
      ...{ level: 30, time: expect.any(Number), name: 'writer', msg: 'loading', table: 'user', version: 3 },
      ...{
        loadedBytes: 25 * MiB,
        totalBytes: 100 * MiB,
        loadedRows: 250,
        totalRows: 1_000,
        mibPerSecond: 13,
        etaSeconds: 6,
      },
    })
    pass(1_000)
    tell(0.75)
    expect(JSON.parse(written[1])).toMatchObject({ loadedRows: 750, mibPerSecond: 19, etaSeconds: 2 })
    pass(1_000)
    progress.end()
    expect(JSON.parse(written[2])).toEqual({
      ...{
        level: 30,
        time: expect.any(Number),
        name: 'writer',
        msg: 'loaded',
        loadedBytes: 75 * MiB,
        ms: 5_000,
      },
    })
  })

  test('has no time left before anything is loaded, and none when there is nothing to load', () => {
    const { written, tell, pass, progress } = start(false)
    pass(2_000)
    tell(0)
    pass(2_000)
    progress.tell({ table: 'empty', version: 1, loadedBytes: 0, totalBytes: 0, loadedRows: 0, totalRows: 0 })
    expect(written.map((line) => (JSON.parse(line) as { etaSeconds: number | null }).etaSeconds)).toEqual([
      null,
      0,
    ])
  })
})

describe('Progress on a terminal', () => {
  test('is a bar that is redrawn ten times a second and erased at the end', () => {
    const { written, tell, pass, progress } = start(true)
    pass(100)
    tell(0)
    pass(99)
    tell(0.4)
    pass(1)
    tell(0.5, 'item')
    expect(written).toEqual([
      '\r\u001b[2K.............................. 0% user: 0 of 1000 rows, 0 MiB/s',
      '\r\u001b[2K###############............... 50% item: 500 of 1000 rows, 250 MiB/s, 1 s left',
    ])
    progress.end()
    expect(written[2]).toBe('\r\u001b[2K')
    expect(JSON.parse(written[3])).toMatchObject({ msg: 'loaded', loadedBytes: 50 * MiB, ms: 200 })
  })

  test('prints only the last line when loading ends before the first bar, and nothing without tables', () => {
    const { written, tell, progress } = start(true)
    tell(1)
    progress.end()
    expect(written.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['loaded'])
    const empty = start(true)
    empty.progress.end()
    expect(empty.written).toEqual([])
  })
})
