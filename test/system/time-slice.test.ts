import { execFileSync } from 'node:child_process'
import { getPriority } from 'node:os'
import process from 'node:process'
import { describe, expect, test } from 'vitest'
import { requestShortTimeSlices } from '../../src/system/time-slice.ts'
import { readSlices } from '../helpers/slices.ts'

const here = readSlices('/proc/thread-self')

const urlOf = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href)
const program = `const { requestShortTimeSlices } = await import(${urlOf('../../src/system/time-slice.ts')})
  const { readSlices } = await import(${urlOf('../helpers/slices.ts')})
  const { getPriority } = await import('node:os')
  const slice = () => readSlices('/proc/thread-self')[0]
  const before = slice()
  const isTaken = requestShortTimeSlices()
  console.log(JSON.stringify({ before, isTaken, after: slice(), nice: getPriority() }))`
const run = (command: string[]): unknown =>
  JSON.parse(
    execFileSync(command[0], [...command.slice(1), process.execPath, '--input-type=module', '-e', program], {
      encoding: 'utf8',
    }),
  )

describe.skipIf(here === null)('Short time slices', () => {
  test('are given to a thread that requests them, at its previous priority', () => {
    expect(run(['nice', '-n', '3'])).toEqual({
      before: expect.any(Number),
      isTaken: true,
      after: 100_000,
      nice: Math.min(19, getPriority() + 3),
    })
  })

  test('are not requested under another scheduling policy', () => {
    expect(run(['chrt', '--batch', '0'])).toMatchObject({ isTaken: false })
  })

  test('can be requested again', () => {
    expect(requestShortTimeSlices()).toBe(true)
    expect(requestShortTimeSlices()).toBe(true)
    expect(readSlices('/proc/thread-self')).toEqual([100_000])
  })
})
