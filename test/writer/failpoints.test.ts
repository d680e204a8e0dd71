import { spawnSync } from 'node:child_process'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, test } from 'vitest'
import { FAILPOINTS } from '../../src/storage/failpoints.ts'
import { startProcess } from '../helpers/process.ts'
import { runsLong } from '../skips.ts'
import { WRITER_FAILPOINTS, PROCESS_FAILPOINTS, STORE_FAILPOINTS } from './failpoint-names.ts'
import { applyToModel, describeWriter, LIFE, type Model, OPERATIONS, perform } from './life.ts'
import { crash, makeDirectory, openWriter } from './restart.ts'
import { COMPILE_CACHE } from '../helpers/compile-cache.ts'

const child = new URL('failpoint-child.ts', import.meta.url).pathname

const run = (directory: string, name: string) => {
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, [child, directory, name], {
    encoding: 'utf8',
    env: { ...process.env, ...COMPILE_CACHE },
  })
  return { signal, status, stderr, lines: stdout.split('\n').filter((line) => line !== '') }
}

/** The model after each number of operations. states[0] is an empty directory. */
const states = OPERATIONS.reduce<Model[]>(
  (all, operation) => [...all, applyToModel(all[all.length - 1], operation)],
  [{ tables: {}, aliases: {}, former: {} }],
)
const END = states[states.length - 1]

/** Returns how many operations had been sent when `acknowledgedCount` of them were acknowledged. */
const askedWhen = (acknowledgedCount: number): number => {
  let asked = 0
  for (const group of LIFE) if (asked <= acknowledgedCount) asked += group.length
  return asked
}

/** Opens the directory again and returns how many operations have taken effect. */
const recover = async (directory: string, lines: string[]) => {
  const acknowledgedCount = lines.length
  expect(lines).toEqual(lines.map((_, i) => String(i)))
  const opened = await openWriter(directory)
  const possible = states.slice(acknowledgedCount, askedWhen(acknowledgedCount) + 1)
  const at = possible.findIndex((model) => isDeepStrictEqual(describeWriter(opened.writer, model), model))
  if (at < 0)
    expect(describeWriter(opened.writer, possible[0]), 'the state after what was acknowledged').toEqual(
      possible[0],
    )
  return { opened, acknowledgedCount, doneCount: acknowledgedCount + at }
}

test('Every failpoint is passed by exactly one of three kinds of process', () => {
  const names = [...STORE_FAILPOINTS, ...Object.keys(WRITER_FAILPOINTS), ...PROCESS_FAILPOINTS]
  expect(names.sort()).toEqual([...FAILPOINTS].sort())
})

const isLong = runsLong('eleven of twelve failpoints')

describe('A writer', () => {
  const places = Object.entries(WRITER_FAILPOINTS).flatMap(([name, passes]) =>
    passes.map((pass) => `${name}:${pass}`),
  )
  test.for(places)(
    'killed at %s has every acknowledged operation, and each later one wholly or not at all',
    async (place, { skip }) => {
      skip(!isLong && places.indexOf(place) % 12 > 0)
      const directory = makeDirectory()
      const { signal, lines, stderr } = run(directory, place)
      expect(signal, stderr).toBe('SIGKILL')
      const { opened, acknowledgedCount, doneCount } = await recover(directory, lines)
      // Every operation that was not answered is sent again. The keys of updates prevent a second effect.
      for (let i = acknowledgedCount; i < OPERATIONS.length; i++) {
        const operation = OPERATIONS[i]
        if (operation.kind === 'update')
          expect(await perform(opened.client, operation), `operation ${i}`).toBe(i < doneCount)
        else if (i >= doneCount || operation.kind === 'snapshot') await perform(opened.client, operation)
      }
      expect(describeWriter(opened.writer, END)).toEqual(END)
      const again = await openWriter(crash(directory))
      expect(describeWriter(again.writer, END)).toEqual(END)
      expect(again.warnings).toEqual([])
    },
  )

  test('that no failpoint kills acknowledges every operation and closes', async () => {
    const directory = makeDirectory()
    const { status, lines, stderr } = run(directory, 'update:visible:1000')
    expect([status, stderr]).toEqual([0, ''])
    expect(lines.at(-1)).toBe('closed')
    expect(lines.length).toBe(OPERATIONS.length + 1)
    const { writer } = await openWriter(directory)
    expect(describeWriter(writer, END)).toEqual(END)
  })
})

describe('A process', () => {
  test.each(PROCESS_FAILPOINTS)('killed at %s has every operation that it acknowledged', async (name) => {
    const directory = makeDirectory()
    const environment = {
      GATHERD_DATA_DIR: directory,
      GATHERD_HTTP_THREADS: '1',
      GATHERD_COMPUTE_THREADS: '0',
    }
    const first = await startProcess({ ...environment, GATHERD_FAILPOINT: name })
    const send = (url: string, method: string, body: unknown) =>
      fetch(url, { method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    try {
      expect((await send(`${first.url}/v1/tables/user`, 'PUT', { values: [[1], [2]] })).status).toBe(201)
      const set = await send(`${first.url}/v1/tables/user/rows`, 'POST', {
        op: 'set',
        indices: [0],
        values: [[42]],
      })
      expect(set.status).toBe(200)
      first.child.kill('SIGTERM')
      expect(await first.exited).toBe('SIGKILL')
    } finally {
      await first.dispose()
    }
    const { writer } = await openWriter(directory)
    const expected = { current: 1, highest: 1, settings: {}, versions: { 1: { sequence: 1, rows: [42, 2] } } }
    expect(describeWriter(writer, { tables: {}, aliases: {}, former: {} })).toEqual({
      former: {},
      tables: { user: expected },
      aliases: {},
    })
  })
})
