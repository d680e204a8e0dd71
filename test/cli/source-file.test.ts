import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UsageError } from '../../src/cli/errors.ts'
import { inspectFile } from '../../src/cli/source-file.ts'

const VECTORS = Buffer.from('the 0.5 1\nof 2 -3\n')
let folder: string
const file = (name: string): string => join(folder, name)
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatherd-source-'))
  symlinkSync('linked.txt', file('link.txt'))
})
afterAll(() => rmSync(folder, { recursive: true }))

test.each([
  ['the same name', 'vectors.txt', 'vectors.txt', VECTORS],
  ['a link to it', 'linked.txt', 'link.txt', VECTORS],
  ['a gzip file', 'vectors.txt.gz', 'vectors.txt.gz', gzipSync(VECTORS)],
])('Words are not written over the vectors they come from: %s', async (_, name, words, content) => {
  writeFileSync(file(name), content)
  const options = { hasShape: false, wordsPath: file(words) }
  await expect(inspectFile(file(name), options)).rejects.toThrow(UsageError)
  expect(readFileSync(file(name))).toEqual(content)
})
