/** `gatherd verify` checks a data directory as a start would, and every byte of its snapshots. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { CatalogAdapter, CatalogImage, CatalogSnapshot } from '../storage/catalog-rows.ts'
import { dataPaths } from '../storage/data-directory.ts'
import { openStore, type OpenStoreOptions } from '../storage/open-store.ts'
import type { LoadPlan } from '../storage/recovery-plan.ts'
import { isDamagedFile, StoredDataRefusal } from '../storage/refusals.ts'
import { verifySnapshot } from '../storage/snapshot-read.ts'
import type { Store } from '../storage/store.ts'
import { findVersions, planFound, type VersionFound } from '../writer/recovery/plan-version.ts'
import { alignColumns, formatBytes } from './formatting.ts'
import { type Command, DONE, FAILED, JSON_OPTION, type Terminal } from './command.ts'
import { type Progress, showProgress } from './progress.ts'
import { checkCopy } from './verify-copy.ts'

/** A version, or the adapter of one, and the outcome of its check. */
interface Finding {
  table: string
  version: number
  what: string
  ok: boolean
  /** What a start would load, or what is wrong. */
  found: string
  /** The warnings that a start would print. */
  warnings: string[]
  refusal: string | null
  /** The exit code of a start that refuses this; 0 if it does not. */
  exitCode: number
}

/** The command `gatherd verify`. */
export const verifyCommand: Command = {
  usage: 'DIR',
  arguments: [1, 1],
  summary: 'Checks every byte of a data directory that no service is using',
  description:
    'Says of each version what a start would load, or, with exit code 3, why it would refuse. No data ' +
    'is changed.',
  options: { json: JSON_OPTION },
  run: async ({ positionals: [directory], values, terminal }) => {
    if (!holdsData(directory)) {
      terminal.report(
        `gatherd verify: ${directory} is not a data directory of gatherd: it has no catalog.db\n`,
      )
      return FAILED
    }
    try {
      const { findings, checkedBytes } = await verifyDirectory(directory, terminal)
      return report(terminal, findings, checkedBytes, values.json === true)
    } catch (error) {
      if (!(error instanceof StoredDataRefusal)) throw error
      if (values.json === true)
        terminal.print(`${JSON.stringify({ verdict: 'refuse', refusals: [error.message], findings: [] })}\n`)
      terminal.report(`gatherd: ${error.message}\n`)
      return error.exitCode
    }
  },
}

/**
 * Whether the directory has, or once had, a catalog. Opening a store in any other directory would create one.
 */
const holdsData = (directory: string): boolean => {
  const { catalog, os, snapshots } = dataPaths(directory)
  if ([catalog, `${catalog}-wal`, os, `${os}-wal`].some((path) => existsSync(path))) return true
  return existsSync(snapshots) && readdirSync(snapshots).length > 0
}

/**
 * Opens the directory as a start does, which checks catalog, logs, journal and keys, and reads every file
 * that the catalog lists. Opening also checkpoints finished commits from the logs into their databases, as
 * any start would; where nothing can be written, it opens a copy of the databases.
 */
const verifyDirectory = async (
  directory: string,
  terminal: Terminal,
): Promise<{ findings: Finding[]; checkedBytes: number }> => {
  try {
    return await verifyIn(directory, {}, terminal)
  } catch (error) {
    if (!(error instanceof StoredDataRefusal) || error.code !== 'ReadOnly') throw error
    return checkCopy(directory, async (copy, snapshots) => {
      const { findings, checkedBytes } = await verifyIn(copy, { snapshots }, terminal)
      // Findings name the files of the copy, too.
      const named = JSON.stringify(findings).replaceAll(copy, dataPaths(directory).directory)
      return { findings: JSON.parse(named) as Finding[], checkedBytes }
    })
  }
}

const verifyIn = async (
  directory: string,
  options: OpenStoreOptions,
  terminal: Terminal,
): Promise<{ findings: Finding[]; checkedBytes: number }> => {
  const { store } = openStore(directory, options)
  try {
    const image = store.load()
    const checkedBytes = image.snapshots.reduce((sum, { bytes }) => sum + bytes, 0)
    const progress = showProgress(terminal, 'checking', checkedBytes)
    try {
      const findings: Finding[] = []
      for (const found of await findVersions(store, image))
        findings.push(await verifyVersion(store, found, progress))
      for (const listed of image.adapters) findings.push(await verifyAdapter(store, image, listed))
      return { findings, checkedBytes }
    } finally {
      progress.end()
    }
  } finally {
    store.close()
  }
}

/**
 * Checks every block of every snapshot. A start checks the ends of each snapshot, and the blocks of the one
 * that it chooses.
 */
const verifyVersion = async (store: Store, found: VersionFound, progress: Progress): Promise<Finding> => {
  const unread = new Map<CatalogSnapshot, StoredDataRefusal>()
  for (const evidence of found.snapshots) {
    const { listed, state } = evidence
    const path = join(store.paths.snapshots, listed.file)
    const refusal = state === 'valid' ? await verifyFile(path, listed.sha256) : null
    // A file that cannot be read may be whole, and a start refuses it as well, if it needs it.
    if (refusal !== null && !isDamagedFile(refusal)) unread.set(listed, refusal)
    else if (refusal !== null) evidence.state = 'damaged'
    if (evidence.state !== 'valid') progress.tell(`${path}: ${refusal?.detail ?? `the snapshot is ${state}`}`)
    progress.add(listed.bytes)
  }
  const { table, versionRow } = found
  const isCurrent = versionRow.version === table.current
  const what = `${versionRow.rows} x ${versionRow.dim} ${versionRow.dtype}${isCurrent ? ', current' : ''}`
  const facts = { table: table.name, version: versionRow.version, what }
  try {
    const plan = planFound(store, found, false)
    const refusal = unread.get(plan.snapshot)
    if (refusal !== undefined) throw refusal
    const warnings = [...plan.warnings, ...[...unread.values()].map(({ message }) => message)]
    return { ...facts, ok: true, found: describePlan(plan), warnings, refusal: null, exitCode: 0 }
  } catch (error) {
    if (!(error instanceof StoredDataRefusal)) throw error
    return {
      ...facts,
      ok: false,
      found: error.detail,
      warnings: [],
      refusal: error.message,
      exitCode: error.exitCode,
    }
  }
}

const verifyAdapter = async (store: Store, image: CatalogImage, listed: CatalogAdapter): Promise<Finding> => {
  const { tableId, version, fileA, sha256A, fileB, sha256B } = listed
  const files = [
    { file: fileA, sha256: sha256A },
    { file: fileB, sha256: sha256B },
  ]
  const table = image.tables.find(({ id }) => id === tableId)?.name ?? `table ${tableId}`
  const facts = { table, version, what: `adapter of rank ${listed.rank}`, warnings: [] }
  for (const { file, sha256 } of files) {
    const refusal = await verifyFile(join(store.paths.snapshots, file), sha256)
    if (refusal === null) continue
    const { detail, message, exitCode } = refusal
    return { ...facts, ok: false, found: detail, refusal: message, exitCode }
  }
  return { ...facts, ok: true, found: `${fileA} and ${fileB}`, refusal: null, exitCode: 0 }
}

/** Reads a file whole and returns why it cannot be trusted, or null if it can. */
const verifyFile = async (path: string, sha256: string): Promise<StoredDataRefusal | null> => {
  try {
    await verifySnapshot(path, sha256)
    return null
  } catch (error) {
    if (error instanceof StoredDataRefusal && error.code !== 'UnknownFormat') return error
    throw error
  }
}

const describePlan = ({ snapshot, replay }: LoadPlan): string => {
  const records =
    replay.first > replay.last ? 'no updates after it' : `and updates ${replay.first} to ${replay.last}`
  return `${snapshot.file} at sequence ${snapshot.startSequence}, ${records}`
}

const report = (
  terminal: Terminal,
  findings: readonly Finding[],
  checkedBytes: number,
  asJson: boolean,
): number => {
  const refusals = findings.map(({ refusal }) => refusal).filter((line) => line !== null)
  const warnings = findings.flatMap((finding) => finding.warnings)
  const verdict = refusals.length === 0 ? 'ok' : 'refuse'
  if (asJson) {
    const shown = findings.map(({ table, version, what, ok, found }) => ({ table, version, what, ok, found }))
    terminal.print(
      `${JSON.stringify({ verdict, refusals, warnings, findings: shown, checked_bytes: checkedBytes })}\n`,
    )
  } else {
    terminal.print(alignColumns(findings.map(describeFinding)))
    if (verdict === 'ok')
      terminal.print(`ok: a start would load everything; ${formatBytes(checkedBytes)} of snapshots checked\n`)
    else
      terminal.print(
        `not ok: a start would refuse; ${refusals.length} of ${findings.length} cannot be loaded whole\n`,
      )
  }
  for (const line of [...warnings, ...refusals]) terminal.report(`gatherd: ${line}\n`)
  // A start ends with the first refusal.
  return findings.find(({ exitCode }) => exitCode !== 0)?.exitCode ?? DONE
}

const describeFinding = ({ table, version, what, ok, warnings, found }: Finding): string[] => [
  table,
  `version ${version}`,
  what,
  ok ? (warnings.length === 0 ? 'ok' : 'ok, from an older snapshot') : 'not ok',
  found,
]
