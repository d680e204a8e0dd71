import { spawnSync } from 'node:child_process'
import { readFileSync, globSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { failpoint, FAILPOINTS, setFailpoint } from '../../src/storage/failpoints.ts'
import { inspectSnapshot } from '../../src/storage/snapshot-read.ts'
import { sweepSnapshots } from '../../src/storage/snapshot-write.ts'
import { runsLong } from '../skips.ts'
import { STORE_FAILPOINTS } from '../writer/failpoint-names.ts'
import { makeFolder, openSample } from './samples.ts'
import { COMPILE_CACHE } from '../helpers/compile-cache.ts'

afterEach(() => setFailpoint(null))

const root = new URL('../../', import.meta.url).pathname
const child = new URL('failpoint-child.ts', import.meta.url).pathname

const run = (directory: string, name: string) => {
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, [child, directory, name], {
    encoding: 'utf8',
    env: { ...process.env, ...COMPILE_CACHE },
  })
  return { signal, status, stderr, lines: stdout.split('\n').filter((line) => line !== '') }
}

/** Returns the last number that was acknowledged with `word`, or 0 if there is none. */
const lastOf = (lines: string[], word: string): number =>
  Number(
    lines
      .findLast((line) => line.startsWith(`${word} `))
      ?.split(' ')
      .at(-1) ?? 0,
  )

describe('A failpoint', () => {
  test('does nothing unless it is armed', () => {
    for (const name of FAILPOINTS) failpoint(name)
    setFailpoint('commit:begun:2')
    failpoint('commit:begun')
    failpoint('commit:written')
  })

  test('cannot be armed unless it exists', () => {
    expect(() => setFailpoint('commit:never')).toThrow('there is no failpoint commit:never')
  })

  test('is reached somewhere in src, whichever its name', () => {
    const source = globSync('src/**/*.ts', { cwd: root })
      .map((path) => readFileSync(join(root, path), 'utf8'))
      .join('\n')
    expect(FAILPOINTS.filter((name) => !source.includes(`failpoint('${name}')`))).toEqual([])
  })
})

const isLong = runsLong('three of four failpoints of the store')

describe('A process that uses a store', () => {
  const places = STORE_FAILPOINTS.flatMap((name) =>
    name.startsWith('commit:') ? [name, `${name}:3`] : [name],
  )
  test.for(places)('loses nothing that it acknowledged when it is killed at %s', async (name, { skip }) => {
    skip(!isLong && places.indexOf(name) % 4 > 0)
    const directory = makeFolder()
    const { signal, lines, stderr } = run(directory, name)
    expect(signal, stderr).toBe('SIGKILL')
    const store = openSample(directory)
    const { ranges } = store.inspectJournal(1, 1)
    const acknowledged = lastOf(lines, 'updates')
    expect(ranges.length).toBeLessThanOrEqual(1)
    expect(ranges[0]?.last ?? 0).toBeGreaterThanOrEqual(acknowledged)
    expect(ranges[0]?.last ?? 0).toBeLessThanOrEqual(acknowledged + 1)
    expect(ranges[0]?.first ?? 1).toBeLessThanOrEqual(3)
    const listed = store.load().snapshots.map(({ file }) => file)
    if (lines.some((line) => line.startsWith('snapshot'))) expect(listed.length).toBe(1)
    for (const file of listed)
      expect(await inspectSnapshot(join(store.paths.snapshots, file))).toMatchObject({ startSequence: 6 })
    await sweepSnapshots(store.paths.snapshots, new Set(listed))
    expect(readdirSync(store.paths.snapshots)).toEqual(listed)
    store.commit({ keys: [] })
  })

  test('acknowledges every step and exits with 0 when no failpoint kills it', () => {
    const directory = makeFolder()
    const { status, lines, stderr } = run(directory, 'commit:begun:1000')
    expect(status, stderr).toBe(0)
    expect(lines.at(-1)).toBe('discarded 6')
    expect(openSample(directory).inspectJournal(1, 1).ranges).toEqual([{ first: 3, last: 6 }])
  })
})
