/** Damages copies of a data directory at random and starts from each. */
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '../../src/storage/open-store.ts'
import { StoredDataRefusal } from '../../src/storage/refusals.ts'
import { recover } from '../../src/writer/recovery/recover.ts'
import type { TableModel } from '../../src/writer/lifecycle/table-model.ts'
import { Arena } from '../../src/tables/arena.ts'
import { ROWS_AT } from '../../src/layout/table-layout.ts'
import { TableMemory } from '../../src/tables/memory.ts'
import { changeRecord, type DamageSet, makeDamageSets, RECORD_CHANGES } from './damage-set.ts'
import { makeFolder } from './folders.ts'
import { DIM, foldRows, ROW_COUNT } from './oracle.ts'
import { createRandom, type Random } from './random.ts'
import { type Finding, measure } from './report.ts'

const SECTOR_BYTES = 512
const LOG_HEADER_BYTES = 32
const QUOTA_BYTES = 64 * 1024 * 1024

/** The damage of a copy. `at` is the first changed byte, or the length of a file that was cut. */
interface Damage {
  what: string
  file: string
  at: number
  /** Whether a log was removed, or is too short to hold a commit. */
  hidesLog?: boolean
}

/** The outcome of a start: a refusal, the same data, a known limit of P3, or a violation. */
interface Outcome {
  kind: 'refused' | 'same' | 'limit' | 'violation'
  detail: string
}

const isLog = (file: string): boolean => file.endsWith('-wal')

const flipBit = (bytes: Buffer, random: Random): number => {
  const at = random.below(bytes.length)
  bytes[at] ^= 1 << random.below(8)
  return at
}

const zeroSector = (bytes: Buffer, random: Random): number => {
  const at = random.below(Math.ceil(bytes.length / SECTOR_BYTES)) * SECTOR_BYTES
  bytes.fill(0, at, Math.min(bytes.length, at + SECTOR_BYTES))
  return at
}

/** Damages the copy in `directory`. Returns null when the chosen damage is not possible there. */
const damageCopy = ({ files }: DamageSet, directory: string, random: Random): Damage | null => {
  const file = random.pick(files)
  const path = join(directory, file)
  const kind = random.below(100)
  if (kind < 6) {
    const change = random.pick(Object.keys(RECORD_CHANGES))
    const database = random.pick(['catalog.db', 'os.db'])
    return changeRecord(join(directory, database), RECORD_CHANGES[change], random.below)
      ? { what: change, file: database, at: 0 }
      : null
  }
  if (kind < 9) {
    rmSync(path)
    return { what: 'deleted', file, at: 0, hidesLog: isLog(file) }
  }
  const bytes = readFileSync(path)
  if (kind < 14) {
    const other = random.pick(files.filter((one) => one !== file))
    const otherBytes = readFileSync(join(directory, other))
    writeFileSync(path, otherBytes)
    writeFileSync(join(directory, other), bytes)
    const hidesLog =
      (isLog(file) && otherBytes.length <= LOG_HEADER_BYTES) ||
      (isLog(other) && bytes.length <= LOG_HEADER_BYTES)
    return { what: `swapped with ${other}`, file, at: 0, hidesLog }
  }
  if (bytes.length === 0) return null
  if (kind < 45) {
    const at = random.below(bytes.length)
    writeFileSync(path, bytes.subarray(0, at))
    return {
      what: 'cut',
      file,
      at,
      hidesLog: file === 'catalog.db-wal' || (isLog(file) && at <= LOG_HEADER_BYTES),
    }
  }
  const at = kind < 80 ? flipBit(bytes, random) : zeroSector(bytes, random)
  writeFileSync(path, bytes)
  return { what: kind < 80 ? 'flipped' : 'zeroed', file, at }
}

/** Whether damage may look like an unfinished commit, or like a log that was never written. */
const isKnownLimit = ({ limits }: DamageSet, { what, file, at, hidesLog = false }: Damage): boolean =>
  hidesLog || (limits[file] !== undefined && (what === 'cut' ? at : at + SECTOR_BYTES) >= limits[file])

/** Compares the loaded tables with the answers before. */
const classify = (set: DamageSet, damage: Damage, tables: ReadonlyMap<string, TableModel>): Outcome => {
  const lost: string[] = []
  for (const expected of set.oracle.tables) {
    const table = tables.get(expected.name)
    if (table === undefined) {
      lost.push(`${expected.name} is gone`)
      continue
    }
    for (const [number, history] of expected.versions) {
      const model = table.versions.get(number)
      if (model === undefined) {
        lost.push(`${expected.name} ${number} is gone`)
        continue
      }
      const sequence = model.table.readSequence()
      const rows = foldRows(history, sequence)
      const [{ memory }] = model.handle.segments
      const values = new Float32Array(memory.buffer, ROWS_AT, ROW_COUNT * DIM)
      const where = `${expected.name} ${number}-${sequence}`
      if (rows === null) return { kind: 'violation', detail: `phantom: ${where} never was` }
      const wrong = values.findIndex((value, i) => value !== rows[Math.floor(i / DIM)])
      if (wrong >= 0)
        return { kind: 'violation', detail: `wrong: row ${Math.floor(wrong / DIM)} of ${where}` }
      if (sequence < history.bySequence.size) lost.push(`${where} of ${history.bySequence.size}`)
    }
  }
  if (lost.length === 0) return { kind: 'same', detail: '' }
  return { kind: isKnownLimit(set, damage) ? 'limit' : 'violation', detail: `lost: ${lost.join('; ')}` }
}

interface Start {
  arena: Arena
  goesBack: boolean
}

/** Starts from a damaged copy, without HTTP. */
const startFrom = async (
  set: DamageSet,
  damage: Damage,
  directory: string,
  { arena, goesBack }: Start,
): Promise<Outcome> => {
  let opened: ReturnType<typeof openStore> | null = null
  try {
    opened = openStore(directory, { goBackBeforeDamage: goesBack })
    const { tables } = await recover({
      store: opened.store,
      memory: new TableMemory(QUOTA_BYTES),
      arena,
      goesBack,
      takeNumber: () => 1,
      onProgress: () => {},
      onWarning: () => {},
    })
    return classify(set, damage, tables)
  } catch (error) {
    if (error instanceof StoredDataRefusal) return { kind: 'refused', detail: error.code }
    return {
      kind: 'violation',
      detail: `refused without a name: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    }
  } finally {
    opened?.store.close()
  }
}

export interface DamageOptions {
  trials: number
  seed: number
  /** Goes back before damage instead of refusing it. This is the negative control. */
  goesBack?: boolean
  onTrial?: (trial: number) => void
}

/**
 * D4 and D5 start from copies whose files are cut, flipped, zeroed, deleted or swapped, or whose records are
 * missing, duplicated or moved.
 */
export const runDamage = ({ trials, seed, goesBack = false, onTrial }: DamageOptions): Promise<Finding> =>
  measure({ id: 'D4 D5', title: 'damaged data directory', seed }, async () => {
    const random = createRandom(seed)
    const { sets, remove } = await makeDamageSets(seed)
    const folder = makeFolder(existsSync('/dev/shm') ? '/dev/shm' : undefined)
    const start = { arena: new Arena(16 * 1024 * 1024), goesBack }
    const counts: Record<string, number> = {}
    const count = (name: string) => (counts[name] = (counts[name] ?? 0) + 1)
    const violations: string[] = []
    let done = 0
    try {
      for (const set of sets) {
        const untouched = join(folder.path, 'untouched')
        cpSync(set.path, untouched, { recursive: true })
        const { kind, detail } = await startFrom(set, { what: 'nothing', file: '', at: 0 }, untouched, start)
        if (kind !== 'same') violations.push(`${set.title}, not damaged: ${kind} ${detail}`)
        rmSync(untouched, { recursive: true })
      }
      for (let trial = 0; trial < trials; trial++) {
        const set = sets[trial % sets.length]
        const copy = join(folder.path, String(trial))
        cpSync(set.path, copy, { recursive: true })
        const damage = damageCopy(set, copy, random)
        if (damage !== null) {
          const { kind, detail } = await startFrom(set, damage, copy, start)
          done++
          count(kind === 'refused' ? detail : kind)
          if (kind === 'violation')
            violations.push(`${set.title}, ${damage.file} ${damage.what} at ${damage.at}: ${detail}`)
        }
        rmSync(copy, { recursive: true })
        onTrial?.(trial)
      }
    } finally {
      folder.remove()
      remove()
    }
    return { n: done, violations, counts }
  })
