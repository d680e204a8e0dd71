import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { askOrFail, createAsk, readJson } from './asking.ts'
import { checkRecovered, seeTable, sendOperation, surviveKill } from './checking.ts'
import { changeRecord, RECORD_CHANGES } from './damage-set.ts'
import { makeFolder } from './folders.ts'
import { launch, launchReady } from './launch.ts'
import { DIM, foldRows, type Oracle, place } from './oracle.ts'
import { createRandom } from './random.ts'
import { runsLong } from '../skips.ts'
import { SEED, TIMEOUT_MS } from './sizes.ts'
import { createTables, makeOperation, startWorkload } from './workload.ts'

const opened: (() => unknown)[] = []
afterEach(async () => {
  for (const end of opened.splice(0).reverse()) await end()
})

const UPDATE_COUNT = 30
const TABLE = 'on-disk'

let original: { dataDir: string; oracle: Oracle; remove: () => void }
beforeAll(async () => {
  if (isLong) original = await makeOriginal()
}, TIMEOUT_MS)
afterAll(() => {
  if (isLong) original.remove()
})

/** Makes a directory with one table and some updates, which kill -9 leaves. */
const makeOriginal = async (): Promise<typeof original> => {
  const folder = makeFolder()
  const running = await launchReady({ dataDir: folder.path })
  const ask = createAsk(running.url)
  const oracle = await createTables(ask, [{ name: TABLE, durability: 'disk' }])
  const random = createRandom(SEED)
  for (let i = 0; i < UPDATE_COUNT; i++) {
    const operation = makeOperation(random, oracle.tables[0])
    const answer = await sendOperation(ask, operation)
    if (answer?.status !== 200) throw new Error(`an update was answered ${answer?.status}`)
    place(oracle, operation, readJson(answer))
  }
  ask.close()
  await running.kill()
  return { dataDir: folder.path, oracle, remove: folder.remove }
}

const copyOriginal = (): { dataDir: string; oracle: Oracle } => {
  const folder = makeFolder()
  opened.push(folder.remove)
  cpSync(original.dataDir, folder.path, { recursive: true })
  return { dataDir: folder.path, oracle: original.oracle }
}

const flipInTheMiddle = (path: string): void => {
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1] ^= 1
  writeFileSync(path, bytes)
}

const DAMAGES: { title: string; file: string; damage: (dataDir: string) => void; isRecoverable: boolean }[] =
  [
    {
      title: 'a bit in the middle of the write-ahead log',
      file: 'catalog.db-wal',
      damage: (dataDir) => flipInTheMiddle(join(dataDir, 'catalog.db-wal')),
      isRecoverable: true,
    },
    {
      title: 'a record that is missing',
      file: 'catalog.db',
      damage: (dataDir) =>
        void changeRecord(join(dataDir, 'catalog.db'), RECORD_CHANGES['record missing'], (end) => end >> 1),
      isRecoverable: true,
    },
    {
      title: 'a record in the place of another',
      file: 'catalog.db',
      damage: (dataDir) =>
        void changeRecord(
          join(dataDir, 'catalog.db'),
          RECORD_CHANGES['record in the place of another'],
          (end) => end >> 1,
        ),
      isRecoverable: true,
    },
    {
      title: 'a snapshot that is gone, and the only one',
      file: '.safetensors',
      damage: (dataDir) =>
        readdirSync(join(dataDir, 'snapshots')).forEach((name) => rmSync(join(dataDir, 'snapshots', name))),
      isRecoverable: false,
    },
    {
      title: 'a catalog that is gone',
      file: 'catalog.db',
      damage: (dataDir) => rmSync(join(dataDir, 'catalog.db')),
      isRecoverable: false,
    },
  ]

/**
 * Quick forms of damage are in the tests of recovery and of `gatherd verify`, and main.test.ts has one of a
 * second process.
 */
const isLong = runsLong('a second process, and starts of a process from damaged directories')

describe.skipIf(!isLong)('A start from a damaged directory', { timeout: TIMEOUT_MS }, () => {
  test.for(DAMAGES)(
    'ends with code 3 and one line that names the file and a remedy: $title',
    async ({ damage, file, isRecoverable }) => {
      const { dataDir, oracle } = copyOriginal()
      damage(dataDir)
      const refused = launch({ dataDir })
      opened.push(refused.kill)
      expect(await refused.exited).toBe(3)
      expect(refused.output()).toMatch(/^gatherd: [^\n]+\n$/)
      expect(refused.output()).toContain(file)
      expect(refused.output()).toMatch(/; .*(restore|put the file back|put a plain file)/)
      const recovering = launch({ dataDir, argv: ['--recover=before-damage'] })
      opened.push(recovering.kill)
      if (!isRecoverable) {
        expect(await recovering.exited).toBe(3)
        return
      }
      const ask = createAsk(await recovering.ready)
      const seen = await seeTable(ask, TABLE)
      const [{ sequence, values }] = seen.versions
      expect(sequence).toBeLessThan(UPDATE_COUNT)
      const rows = foldRows(
        oracle.tables[0].versions.get(1) ?? { base: 0, bySequence: new Map(), snapshotSequence: 0 },
        sequence,
      )
      expect([...values]).toEqual(rows?.flatMap((row) => Array.from({ length: DIM }, () => row)))
      expect(recovering.output()).toMatch(/lost|behind it|goes back|dropped/)
      ask.close()
      await recovering.kill()
      const after = await launchReady({ dataDir })
      opened.push(after.kill)
      const again = createAsk(after.url)
      expect((await seeTable(again, TABLE)).versions[0].sequence).toBe(sequence)
      again.close()
    },
  )
})

describe.skipIf(!isLong)('A second process on a directory', { timeout: TIMEOUT_MS }, () => {
  test('ends with code 1 and one line, and the first process loses nothing', async () => {
    const folder = makeFolder()
    opened.push(folder.remove)
    const first = await launchReady({ dataDir: folder.path })
    opened.push(first.kill)
    const ask = createAsk(first.url)
    const oracle = await createTables(ask)
    const workload = startWorkload({ ask, oracle, random: createRandom(SEED) })
    const second = launch({ dataDir: folder.path })
    opened.push(second.kill)
    expect(await second.exited).toBe(1)
    expect(second.output()).toMatch(/^gatherd: [^\n]*it is in use by another gatherd[^\n]*\n$/)
    await workload.stop()
    await askOrFail(ask, 'POST', '/v1/snapshots')
    ask.close()
    await first.kill()
    const third = await launchReady({ dataDir: folder.path })
    opened.push(third.kill)
    const again = createAsk(third.url)
    await checkRecovered(oracle, again, surviveKill)
    again.close()
    expect(oracle.violations).toEqual([])
  })
})
