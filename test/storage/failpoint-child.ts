/**
 * A child process that uses a store until it reaches the failpoint named in its arguments and is killed
 * there. The tests of the store's failpoints start it.
 */
import { setFailpoint } from '../../src/storage/failpoints.ts'
import { openStore } from '../../src/storage/open-store.ts'
import type { SnapshotFacts } from '../../src/storage/snapshot-format.ts'
import { sweepSnapshots, writeSnapshot } from '../../src/storage/snapshot-write.ts'
import type { JournalRecord } from '../../src/storage/journal-record.ts'
import { TableMemory } from '../../src/tables/memory.ts'

/*
 * The steps below pass every failpoint of src/storage. The arguments are the directory and the failpoint.
 * Each line of output reports one acknowledged step: `updates 3`, `snapshot FILE 2`, `pruned 1`,
 * `discarded 4`.
 */
const [directory, name] = process.argv.slice(2)
const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}
const record = (sequence: number, durability: 'disk' | 'os'): JournalRecord => ({
  tableId: 1,
  version: 1,
  sequence,
  step: 0,
  stateEpoch: 0,
  updatedAtMs: 0,
  durability,
  ids: new Int32Array([sequence]),
  rowBytes: 4,
  rows: new Uint8Array(4).fill(sequence),
  state: null,
})

setFailpoint(name)
const { store } = openStore(directory)
store.takeId()
for (let sequence = 1; sequence <= 3; sequence++) {
  store.commit({ records: [record(sequence, 'disk')] })
  say(`updates ${sequence}`)
}
for (let sequence = 4; sequence <= 6; sequence++) {
  store.commitOs({ records: [record(sequence, 'os')] })
  say(`updates ${sequence}`)
}
store.checkpoint()
const facts: SnapshotFacts = {
  tableId: 1,
  table: 'user',
  version: 1,
  rows: 100,
  dim: 1,
  dtype: 'float32',
  startSequence: 6,
  step: 0,
  updatedAtMs: 0,
  state: null,
}
const { segments } = new TableMemory(1024 * 1024).allocate(100, 4)
const { file, bytes, sha256 } = await writeSnapshot(store.paths.snapshots, facts, { segments, state: null })
store.commit({
  changes: [
    {
      kind: 'put-snapshot',
      snapshot: {
        id: store.takeId(),
        tableId: 1,
        version: 1,
        file,
        startSequence: 6,
        endSequence: 6,
        step: 0,
        createdAtMs: 0,
        bytes,
        sha256,
        stateKind: null,
        stateEpoch: 0,
      },
    },
  ],
})
say(`snapshot ${file} 6`)
store.pruneJournal(1, 1, 2)
say('pruned 2')
await writeSnapshot(store.paths.snapshots, facts, { segments, state: null })
await sweepSnapshots(store.paths.snapshots, new Set([file]))
store.discardJournal(1, 1, 6)
say('discarded 6')
store.close()
