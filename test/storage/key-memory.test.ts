import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, test } from 'vitest'
import { hashKey, KEY_SCHEMA, KeyMemory } from '../../src/storage/key-memory.ts'
import { makeFolder, openSample, refusalOf, sampleKey } from './samples.ts'

const HOUR_MS = 60 * 60 * 1000

const makeMemory = (countMax?: number) => {
  const database = new DatabaseSync(':memory:')
  database.exec(KEY_SCHEMA)
  const keys = new KeyMemory('catalog.db', database, countMax)
  const add = (names: string[], createdAtMs = 0) =>
    keys.write(names.map((name) => sampleKey(name, { createdAtMs })))()
  const found = (names: string[]) => names.filter((name) => keys.find(sampleKey(name).hash) !== null)
  const rowCount = () => (database.prepare('SELECT count(*) AS n FROM keys').get() as { n: number }).n
  return { database, keys, add, found, rowCount }
}

describe('Idempotency keys', () => {
  test('differ when the scope or the key differs, whatever characters they have', () => {
    expect(hashKey('a', 'b')).toEqual(hashKey('a', 'b'))
    expect(hashKey('a', 'b')).not.toEqual(hashKey('b', 'a'))
    expect(hashKey('a', 'b","c')).not.toEqual(hashKey('a","b', 'c'))
  })

  test('are found once their transaction is committed, and not before', () => {
    const { keys } = makeMemory()
    const confirm = keys.write([sampleKey('a')])
    expect(keys.find(sampleKey('a').hash)).toBe(null)
    confirm()
    expect(keys.find(sampleKey('a').hash)).toEqual(sampleKey('a'))
  })

  test('are bounded in number, and the oldest are removed first', () => {
    const { add, found, keys, rowCount } = makeMemory(5)
    for (let i = 0; i < 20; i++) add([`k${i}`])
    expect([keys.size, rowCount()]).toEqual([5, 5])
    expect(found(['k14', 'k15', 'k19'])).toEqual(['k15', 'k19'])
    add(['x', 'y', 'z'])
    expect(found(['k16', 'k17', 'k18', 'z'])).toEqual(['k18', 'z'])
  })

  test('expire after 24 hours, and each commit removes a few', () => {
    const { add, found, keys, rowCount } = makeMemory()
    add(
      Array.from({ length: 50 }, (_, i) => `old${i}`),
      1000,
    )
    add(['day'], 1000 + 24 * HOUR_MS)
    expect(keys.size).toBe(51)
    add(['later'], 1001 + 24 * HOUR_MS)
    expect(keys.size).toBeLessThan(40)
    add(['b'], 1001 + 24 * HOUR_MS)
    add(['c'], 1001 + 24 * HOUR_MS)
    expect([keys.size, rowCount()]).toEqual([4, 4])
    expect(found(['old49', 'day'])).toEqual(['day'])
  })

  test('that are stored again expire 24 hours after that', () => {
    const { add, found, rowCount } = makeMemory(3)
    add(['a'])
    add(['b'])
    add(['a'])
    add(['c'])
    expect(found(['a', 'b', 'c'])).toEqual(['a', 'b', 'c'])
    add(['d'])
    expect(found(['a', 'b', 'c', 'd'])).toEqual(['a', 'c', 'd'])
    expect(rowCount()).toBe(3)
  })

  test('survive restarts in their order, and are still pruned afterwards', () => {
    const directory = makeFolder()
    let store = openSample(directory, { keyCountMax: 4 })
    store.commit({ keys: ['a', 'b', 'c', 'd'].map((name) => sampleKey(name)) })
    store.close()
    store = openSample(directory, { keyCountMax: 4 })
    store.commit({ keys: [sampleKey('e')] })
    expect(['a', 'b', 'e'].map((name) => store.findKey(sampleKey(name).hash)?.result)).toEqual([
      undefined,
      sampleKey('b').result,
      sampleKey('e').result,
    ])
  })

  test('are refused at opening when any part of one has changed on disk', () => {
    for (const change of [
      `hash = x'${'00'.repeat(32)}'`,
      `request = x'00'`,
      `result = '{}'`,
      'created_at = 5',
      'id = 7',
    ]) {
      const directory = makeFolder()
      const store = openSample(directory)
      store.commit({ keys: [sampleKey('a'), sampleKey('b')] })
      store.close()
      const database = new DatabaseSync(join(directory, 'catalog.db'))
      database.exec(`UPDATE keys SET ${change} WHERE id = 1`)
      database.close()
      expect(refusalOf(() => openSample(directory))).toBe('DamagedKey')
    }
  })
})
