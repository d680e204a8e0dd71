import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeDataDir } from '../helpers/data-dir.ts'
import { type Service, startService } from '../helpers/service.ts'
import { type Ask, type KeyedUpdate, readContents } from './directory-contents.ts'

/** A data directory that an earlier commit left after kill -9. fixtures/README.md says how it was made. */
const FOLDER = join(import.meta.dirname, 'fixtures/service-1')

interface Tagged {
  etag: string
  info: object
  rows: Record<string, { etag: string }>
  versions: { version: number }[]
}

interface Contents {
  tables: Record<string, Tagged>
  replays: Record<string, object>
  aliases: object
  aliased: object
}
const readFixture = (name: string): unknown => JSON.parse(readFileSync(join(FOLDER, name), 'utf8'))
const withoutQuote = (tag: string): string => tag.slice(0, -1)

/**
 * The answers of that commit with what they have had since: three forms of entity tags, and held versions.
 */
const translate = (contents: Contents): Contents => {
  for (const table of Object.values(contents.tables)) {
    table.etag = `${withoutQuote(table.etag)}-0"`
    for (const rows of Object.values(table.rows)) rows.etag = `${withoutQuote(rows.etag)}.raw"`
  }
  const { replaced } = contents.tables
  Object.assign(replaced.info, { held_versions: [{ version: 1, aliases: ['first'] }] })
  Object.assign(replaced.versions[0], { held_by: ['first'] })
  return contents
}
const expected = translate(readFixture('contents.json') as Contents)
const updates = readFixture('updates.json') as KeyedUpdate[]

let directory: ReturnType<typeof makeDataDir>
let service: Service
/** What the service holds after its first start. Reading it changes nothing. */
let found: Contents
beforeAll(async () => {
  directory = makeDataDir()
  cpSync(join(FOLDER, 'data'), directory.dataDir, { recursive: true })
  service = await startService({ dataDir: directory.dataDir })
  found = await read()
})
afterAll(async () => {
  await service.close()
  directory.remove()
})

const ask: Ask = async (method, url, { body, headers } = {}) => {
  const payload = body instanceof Uint8Array ? Buffer.from(body) : body
  const answer = await service.app.inject({ method, url, payload, headers })
  return { status: answer.statusCode, headers: answer.headers, body: answer.rawPayload }
}
/** Returns the value as JSON keeps it, without undefined members. */
const read = async (): Promise<Contents> =>
  JSON.parse(JSON.stringify(await readContents(ask, updates))) as Contents

describe('A data directory of an earlier commit', () => {
  test('has every kind of table, optimizer, durability and change', () => {
    expect(Object.keys(expected.tables)).toEqual([
      'adagrad',
      'adam',
      'adapted',
      'int8',
      'momentum',
      'replaced',
      'rowwise',
      'sgd',
      'unsaved',
      'uploaded',
    ])
    expect(updates.length).toBeGreaterThan(20)
    for (const file of ['catalog.db-wal', 'os.db-wal'])
      expect(readFileSync(join(FOLDER, 'data', file)).length).toBeGreaterThan(10_000)
  })

  test('opens with equal rows, versions, settings, state, adapters and uploads', () => {
    expect(found.tables).toEqual(expected.tables)
  })

  test('opens with equal aliases', () => {
    expect(found.aliases).toEqual(expected.aliases)
    expect(found.aliased).toEqual(expected.aliased)
  })

  test('remembers every idempotency key: a repeated update changes nothing, a different one is refused', () => {
    const { replays } = found
    expect(replays).toEqual(expected.replays)
    for (const replay of Object.values(replays))
      expect(replay).toMatchObject({
        again: { status: 200, answer: { replayed: true } },
        other: { status: 422, code: 'IDEMPOTENCY_MISMATCH' },
      })
  })

  test('has the same contents after it is closed and opened again', async () => {
    await service.close()
    service = await startService({ dataDir: directory.dataDir })
    const after = await read()
    expect(after.tables).toEqual(found.tables)
    expect(after.replays).toEqual(expected.replays)
  })
})
