/** Copies of the source with a guard removed, in which the reliability tests must find violations. */
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../tidy/source.ts'
import { makeFolder } from './folders.ts'

/** A guard and the code that replaces it. */
export interface Removal {
  title: string
  file: string
  from: string
  to: string
}

/** The guards that negative controls remove. Each text must occur exactly once in its file. */
export const REMOVALS = {
  sync: {
    title: 'commits are not synced',
    file: 'src/storage/database-file.ts',
    from: '`${PRAGMAS} PRAGMA synchronous = ${synchronous};`',
    to: '`${PRAGMAS} PRAGMA synchronous = OFF;`',
  },
  syncEachSecond: {
    title: 'what is in os is not synced each second',
    file: 'src/writer/upkeep/health.ts',
    from: 'const TICK_MS = 1_000',
    to: 'const TICK_MS = 1_000_000',
  },
  commitFirst: {
    title: 'answered before the commit',
    file: 'src/writer/updates/group-commit.ts',
    from: "if (mode === 'disk') store.commit({ records, keys: remembered })",
    to: "if (mode === 'disk') setTimeout(() => store.commit({ records, keys: remembered }), 300)",
  },
  keys: {
    title: 'keys are not stored',
    file: 'src/writer/updates/group-commit.ts',
    from: "if (mode === 'disk') store.commit({ records, keys: remembered })",
    to: "if (mode === 'disk') store.commit({ records, keys: [] })",
  },
  pruneAtStart: {
    title: 'the journal is pruned through the end of a snapshot',
    file: 'src/storage/recovery-plan.ts',
    from: 'Math.min(...kept.map(({ startSequence }) => startSequence))',
    to: 'Math.max(...kept.map(({ endSequence }) => endSequence))',
  },
  journalDuringSnapshot: {
    title: 'updates of mode none are not journaled during a snapshot',
    file: 'src/writer/updates/group-commit.ts',
    from: "const isJournaled = settings.durability !== 'none' || current.stored.journalPins > 0",
    to: "const isJournaled = settings.durability !== 'none'",
  },
  latch: {
    title: 'a failed write is forgotten',
    file: 'src/storage/error-latch.ts',
    from: 'this.#failure ??= new StoreFailed(',
    to: 'return new StoreFailed(',
  },
  rowCheck: {
    title: 'rows are read without a look at the lock',
    file: 'src/tables/gather.ts',
    from: 'for (let attempt = 0; attempt < 2; attempt++) {',
    to: 'for (let attempt = 0; attempt < 2; attempt++) {\n    if (attempt === 0) return gatherUnchecked(version, arena, job)',
  },
  buildAside: {
    title: 'versions are built in place',
    file: 'src/writer/lifecycle/table-model.ts',
    from: 'const { segments, reservedBytes } = memory.allocate(rows, rowBytes(dim, dtype))',
    to: 'const { segments, reservedBytes } = table === undefined ? memory.allocate(rows, rowBytes(dim, dtype)) : { segments: table.current.handle.segments, reservedBytes: 0 }',
  },
  fullDisk: {
    title: 'a full disk is any other failure',
    file: 'src/storage/error-latch.ts',
    from: 'switch (classifyDiskError(error)) {',
    to: 'switch (what.length > 0 ? null : classifyDiskError(error)) {',
  },
} as const satisfies Record<string, Removal>

/** Makes a copy of the repository with a guard removed, which runs as the original does. */
export const makeMutant = ({ file, from, to }: Removal): { root: string; remove: () => void } => {
  const folder = makeFolder()
  for (const name of readdirSync(ROOT)) {
    if (name === 'src') cpSync(join(ROOT, name), join(folder.path, name), { recursive: true })
    else if (!name.startsWith('.')) symlinkSync(join(ROOT, name), join(folder.path, name))
  }
  const path = join(folder.path, file)
  const parts = readFileSync(path, 'utf8').split(from)
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${from}`)
  writeFileSync(path, parts.join(to))
  return { root: folder.path, remove: folder.remove }
}

/** Runs a test on a copy without the guard. */
export const runWithout = async <Result>(
  removal: Removal,
  run: (root: string) => Promise<Result>,
): Promise<Result> => {
  const mutant = makeMutant(removal)
  try {
    return await run(mutant.root)
  } finally {
    mutant.remove()
  }
}
