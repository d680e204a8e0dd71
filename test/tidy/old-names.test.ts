import { describe, expect, test } from 'vitest'
import { findOldNames, OLD_NAMES, OLD_PATHS } from './old-names.ts'
import { readTexts } from './text.ts'

/** The two files of this rule name what they look for. */
const texts = readTexts().filter(({ path }) => !path.startsWith('test/tidy/old-names'))

const find = (text: string, path = 'src/http/app.ts') => findOldNames([{ path, text }], OLD_NAMES, OLD_PATHS)

describe('A replaced name', () => {
  test('occurs nowhere', () => {
    expect(findOldNames(texts, OLD_NAMES, OLD_PATHS)).toEqual([])
  })

  test.each([
    'const keeper = new Keeper()',
    'new FrontGroup(config)',
    '// The front waits until the answer was sent.',
    'GATHERD_FRONTS=4 npm start',
    'GATHERD_GATHERERS: 2',
    '// Rows are pooled by the gatherers.',
    'GATHERD_LANE=off',
    'startLane(server)',
    '// A request takes the lane.',
    'LIMITS.turnBytesMax',
    '// The seal is written last.',
    'readSyncMark(path)',
    '// The sync mark says what a power cut spares.',
    'class Scrubbing {',
    'new Forgetting(store)',
    'version.coveredThrough',
    'journalHolders.add(1)',
    'interface KeeperParts {',
    'interface StoreParts {',
    'const { desk } = this',
    'openInbox(memory)',
    'interface MailedUpdate {',
    'body.letGo()',
    'const body: HeldBody = holdBody(1)',
    "client.call('begin', build)",
    'export interface Found {',
    'export type Gathered = 1',
    'addLookupManyRoute(app)',
    'interface AskedUpdate {',
    'return TAKEN',
    'judgeSnapshot(file)',
    'new Preimages()',
    'release: leaveToCollector',
    'record: TableRecord',
    'const read = (version: TableReader) => version.pin()',
  ])('is found: %s', (text) => {
    expect(find(text).length).toBeGreaterThan(0)
    expect(find(`export {}\n${text}`)[0]).toMatch(/^src\/http\/app\.ts:2: .+ is .+ now$/)
  })

  test.each([
    '// The row stands in front of the others.',
    '// Readiness turns false, and whoever waits takes turns.',
    '// The result was found, and rows are gathered.',
    "database.exec('CREATE TABLE seal (id INTEGER)')",
    "database.prepare('SELECT checksum FROM seal')",
    'const plan = makePlan(begin, commit)',
    '// A scratch buffer of the thread; scrubbing reads every snapshot again.',
    '// Parts of an upload are opened in order; it settles who keeps a claim.',
  ])('is not an everyday word: %s', (text) => {
    expect(find(text)).toEqual([])
  })

  test('is found in the name of a file, too', () => {
    for (const path of [
      'src/keeper/journal.ts',
      'src/front-group.ts',
      'src/http/lane/serve.ts',
      'src/writer/turns.ts',
      'src/storage/seal.ts',
      'src/lookup/many.ts',
      'src/kernels/index.ts',
      'src/system/slice.ts',
    ])
      expect(find('', path)).toEqual([`${path}: the file has an old name`])
    for (const path of ['src/upload/staging/layout.ts', 'src/cli/commands.ts', 'load/report/index.ts'])
      expect(find('', path)).toEqual([])
  })

  test('may occur as a word of another field, such as lanes of SIMD and of charts', () => {
    expect(find('// Four lanes are added at once.', 'src/kernels/wasm/bag.as.ts')).toEqual([])
    expect(find('const laneHeight = lane * 2', 'load/report/chart.ts')).toEqual([])
    expect(find('// Four lanes are added at once.', 'src/lookup/bags.ts')).toHaveLength(1)
  })
})
