import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { CatalogSnapshot } from '../../src/storage/catalog-rows.ts'
import type { SnapshotFacts } from '../../src/storage/snapshot-format.ts'
import { writeSnapshot } from '../../src/storage/snapshot-write.ts'
import type { Store } from '../../src/storage/store.ts'
import { rowBytes } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import {
  makeFolder,
  openSample,
  sampleRecord,
  sampleSnapshot,
  sampleTable,
  sampleVersion,
} from '../storage/samples.ts'
import { startProcess } from '../helpers/process.ts'
import { runCommand } from './terminal.ts'

const facts: SnapshotFacts = {
  tableId: 1,
  table: 'user',
  version: 1,
  rows: 100,
  dim: 2,
  dtype: 'float32',
  startSequence: 0,
  step: 0,
  updatedAtMs: 1_700_000_000_000,
  state: null,
}

const addSnapshot = async (store: Store, id: number, startSequence: number): Promise<CatalogSnapshot> => {
  const { segments } = new TableMemory(1024 * 1024).allocate(facts.rows, rowBytes(facts.dim, facts.dtype))
  const written = await writeSnapshot(
    store.paths.snapshots,
    { ...facts, startSequence },
    { segments, state: null },
  )
  const snapshot = sampleSnapshot({ id, startSequence, endSequence: startSequence, ...written })
  store.commit({ changes: [{ kind: 'put-snapshot', snapshot }] })
  return snapshot
}

/** A table with two snapshots, at sequences 2 and 4, and updates 1 to 6. */
const makeDirectory = async (): Promise<{ directory: string; older: string; newer: string }> => {
  const directory = join(makeFolder(), 'data')
  const store = openSample(directory)
  store.commit({
    changes: [
      { kind: 'put-table', table: sampleTable() },
      { kind: 'put-version', versionRow: sampleVersion() },
    ],
  })
  for (const sequence of [1, 2, 3, 4, 5, 6]) store.commit({ records: [sampleRecord(sequence)] })
  const older = await addSnapshot(store, 2, 2)
  const newer = await addSnapshot(store, 3, 4)
  store.close()
  const pathOf = ({ file }: CatalogSnapshot) => join(directory, 'snapshots', file)
  return { directory, older: pathOf(older), newer: pathOf(newer) }
}

const flipByte = (path: string, at: number): void => {
  const bytes = readFileSync(path)
  bytes[at] ^= 1
  writeFileSync(path, bytes)
}

describe('gatherd verify', () => {
  test('prints what a start would load, and that nothing is damaged', async () => {
    const { directory, newer } = await makeDirectory()
    const { code, printed, reported } = await runCommand(['verify', directory])
    expect([code, reported]).toEqual([0, ''])
    const file = newer.split('/').at(-1)
    expect(printed).toMatch(
      new RegExp(
        `^user  version 1  100 x 2 float32, current  ok  ${file} at sequence 4, and updates 5 to 6\n` +
          'ok: a start would load everything; [\\d.]+ kB of',
      ),
    )
    const { verdict, findings } = JSON.parse(
      (await runCommand(['verify', directory, '--json'])).printed,
    ) as Record<string, unknown>
    expect(verdict).toBe('ok')
    expect(findings).toMatchObject([
      { table: 'user', version: 1, what: '100 x 2 float32, current', ok: true },
    ])
  })

  test('does not change the data directory', async () => {
    const { directory } = await makeDirectory()
    const before = await runCommand(['verify', directory])
    const files = readdirSync(directory, { recursive: true })
    expect(await runCommand(['verify', directory])).toEqual(before)
    expect(readdirSync(directory, { recursive: true })).toEqual(files)
    const store = openSample(directory)
    expect([...store.readJournal(1, 1, 0)].map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5, 6])
  })

  test('finds a damaged byte inside a snapshot, and falls back to the previous snapshot', async () => {
    const { directory, newer, older } = await makeDirectory()
    flipByte(newer, readFileSync(newer).length - 400)
    const { code, printed, reported } = await runCommand(['verify', directory])
    expect(code).toBe(0)
    expect(printed).toContain(
      `ok, from an older snapshot  ${older.split('/').at(-1)} at sequence 2, and updates 3 to 6`,
    )
    expect(reported).toContain(
      `${newer}: the snapshot is damaged: block 0 of 1 (each a MiB) has a wrong checksum\n`,
    )
    expect(reported).toContain(
      `gatherd: ${newer}: the snapshot is damaged; table "user", version 1 is loaded from the one before`,
    )
  })

  test('exits with code 3 and the message of a start when no snapshot can be loaded', async () => {
    const { directory, newer, older } = await makeDirectory()
    flipByte(newer, readFileSync(newer).length - 400)
    truncateSync(older, 100)
    const { code, printed, reported } = await runCommand(['verify', directory])
    expect(code).toBe(3)
    expect(printed).toContain('not ok: a start would refuse; 1 of 1 cannot be loaded whole\n')
    expect(reported).toContain(
      `gatherd: ${newer}: the snapshot of table "user", version 1 is damaged, and no older one`,
    )
    const json = JSON.parse((await runCommand(['verify', directory, '--json'])).printed) as {
      verdict: string
      refusals: string[]
    }
    expect(json).toMatchObject({ verdict: 'refuse', refusals: [expect.stringContaining(newer)] })
  })

  test('checks the files of an adapter', async () => {
    const { directory } = await makeDirectory()
    const store = openSample(directory)
    const { segments } = new TableMemory(1024 * 1024).allocate(facts.rows, rowBytes(facts.dim, facts.dtype))
    const [a, b] = [
      await writeSnapshot(store.paths.snapshots, facts, { segments, state: null }),
      await writeSnapshot(store.paths.snapshots, facts, { segments, state: null }),
    ]
    const files = { fileA: a.file, sha256A: a.sha256, fileB: b.file, sha256B: b.sha256 }
    const adapter = {
      tableId: 1,
      version: 1,
      rank: 2,
      alpha: 1,
      attachedAtMs: 0,
      dtype: 'float32',
      ...files,
    } as const
    store.commit({ changes: [{ kind: 'put-adapter', adapter }] })
    store.close()
    const whole = await runCommand(['verify', directory])
    expect([whole.code, whole.printed]).toEqual([
      0,
      expect.stringMatching(/^user {2}version 1 {2}adapter of rank 2 +ok /m),
    ])
    flipByte(join(directory, 'snapshots', b.file), 500)
    const damaged = await runCommand(['verify', directory])
    expect([damaged.code, damaged.printed]).toEqual([
      3,
      expect.stringMatching(/^user {2}version 1 {2}adapter of rank 2 +not ok /m),
    ])
    expect(damaged.reported).toContain(
      `gatherd: ${join(directory, 'snapshots', b.file)}: the snapshot is damaged`,
    )
  })

  test('exits with code 3 when the catalog is missing or is not a database', async () => {
    const { directory } = await makeDirectory()
    const catalog = join(directory, 'catalog.db')
    const bytes = readFileSync(catalog)
    writeFileSync(catalog, 'this is no database')
    expect(await runCommand(['verify', directory])).toMatchObject({
      code: 3,
      reported: expect.stringContaining(`gatherd: ${catalog}: `),
    })
    rmSync(catalog)
    const missing = await runCommand(['verify', directory])
    expect(missing).toMatchObject({
      code: 3,
      printed: '',
      reported: expect.stringContaining(`gatherd: ${catalog}: it is missing`),
    })
    writeFileSync(catalog, bytes)
    expect((await runCommand(['verify', directory])).code).toBe(0)
  })

  test('refuses a directory that is in use', async () => {
    const { directory } = await makeDirectory()
    openSample(directory)
    const { code, reported } = await runCommand(['verify', directory])
    expect([code, reported]).toEqual([
      1,
      expect.stringContaining(`gatherd: ${directory}: it is in use by another gatherd`),
    ])
  })

  test('reads the directory of a killed service, and refuses that of a running one', async () => {
    const directory = join(makeFolder(), 'data')
    const service = await startProcess({
      GATHERD_DATA_DIR: directory,
      GATHERD_HTTP_THREADS: '1',
      GATHERD_COMPUTE_THREADS: '0',
    })
    try {
      const send = (path: string, method: string, body: unknown) =>
        fetch(`${service.url}/v1/tables/user${path}`, {
          method,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      expect((await send('', 'PUT', { rows: 1000, dim: 8 })).status).toBe(201)
      expect(
        (await send('/rows', 'POST', { op: 'add', indices: [3], values: [Array(8).fill(1)] })).status,
      ).toBe(200)
      const running = await runCommand(['verify', directory])
      expect([running.code, running.reported]).toEqual([
        1,
        expect.stringContaining('it is in use by another gatherd'),
      ])
      service.child.kill('SIGKILL')
      await service.exited
      const { code, printed, reported } = await runCommand(['verify', directory])
      expect([code, reported]).toEqual([0, ''])
      expect(printed).toMatch(
        new RegExp(
          String.raw`^user {2}version 1 {2}1000 x 8 float32, current {2}ok {2}\S+ at sequence 0, ` +
            String.raw`and updates 1 to 1\nok: `,
        ),
      )
    } finally {
      await service.dispose()
    }
  })

  test('does not create a missing catalog', async () => {
    const folder = makeFolder()
    for (const directory of [folder, join(folder, 'nowhere')]) {
      const { code, reported } = await runCommand(['verify', directory])
      expect([code, reported]).toEqual([
        1,
        `gatherd verify: ${directory} is not a data directory of gatherd: it has no catalog.db\n`,
      ])
    }
    expect(readdirSync(folder)).toEqual([])
    expect(existsSync(join(folder, 'nowhere'))).toBe(false)
  })
})
