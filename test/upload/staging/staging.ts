/** A staging directory and parts of uploads for tests. */

import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LIMITS } from '../../../src/core/limits.ts'
import type { TableInfo } from '../../../src/core/types.ts'
import type { Staging, StagingLimits, UploadSpecification } from '../../../src/upload/staging/layout.ts'
import { bodyOf } from '../bodies.ts'

/** A staging area in a directory that does not exist yet; `using` removes it. */
export const openStaging = (limits: Partial<StagingLimits> = {}): Staging & Disposable => {
  const root = mkdtempSync(join(tmpdir(), 'gatherd-test-staging-'))
  return {
    directory: join(root, 'uploads'),
    limits: { ...LIMITS, ...limits },
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  }
}

export const specification = (wishes: Partial<UploadSpecification> = {}): UploadSpecification => ({
  table: 'words',
  contentType: 'application/octet-stream',
  bytes: null,
  digest: null,
  parameters: { rows: 1, dim: 1 },
  ...wishes,
})

export const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

/** The body of a part in pieces. */
export const partOf = (...pieces: string[]) => ({
  chunks: bodyOf(...pieces.map((piece) => Buffer.from(piece))),
})

/** Sets the modification time of a file to `ageMs` ago. */
export const makeOlder = (path: string, ageMs: number): void => {
  const time = (Date.now() - ageMs) / 1_000
  utimesSync(path, time, time)
}

/** The file names in the directory of an upload, without its specification. */
export const filesOf = (directory: string): string[] =>
  readdirSync(directory).filter((name) => name !== 'upload.json')

/** An example of a stored table. */
export const someTable: TableInfo = {
  name: 'words',
  version: 3,
  sequence: 0,
  rows: 1,
  dim: 1,
  dtype: 'float32',
  bytes: 4,
  out_of_range: 'error',
  fill_value: null,
  padding_index: null,
  optimizer: { kind: 'sgd', learning_rate: 0.01 },
  durability: 'disk',
  keep_versions: 2,
  created_at: '2026-01-01T00:00:00.000Z',
  updated_at: '2026-01-01T00:00:00.000Z',
}
