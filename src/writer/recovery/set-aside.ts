/** Sets files aside that recovery does not use, so that no later start removes them. */
import { join } from 'node:path'
import { GatherdError } from '../../core/errors.ts'
import { setAside } from '../../storage/damaged-files.ts'
import type { SnapshotEvidence } from '../../storage/recovery-plan.ts'
import type { Store } from '../../storage/store.ts'
import type { StoredVersion } from '../lifecycle/table-model.ts'
import type { VersionFound } from './plan-version.ts'

/** Whether an error says that the disk is full, with nothing changed. */
export const isDiskFull = (error: unknown): boolean =>
  error instanceof GatherdError && error.code === 'DISK_FULL'

/**
 * Drops snapshots that are damaged, or newer than the state that the version went back to. Their files get
 * other names first, since the next start removes what is not listed. A full disk leaves them listed.
 */
export const dropUseless = (
  { store, onWarning }: { store: Store; onWarning: (line: string) => void },
  { snapshots }: VersionFound,
  stored: StoredVersion,
): void => {
  const isUseless = ({ state, listed }: SnapshotEvidence) =>
    state !== 'valid' || listed.endSequence > stored.durableSequence
  const useless = snapshots.filter(isUseless).map(({ listed }) => listed)
  if (useless.length === 0) return
  stored.snapshots = stored.snapshots.filter((listed) => !useless.includes(listed))
  keepAside(
    store,
    useless.map(({ file }) => file),
    onWarning,
  )
  try {
    store.commit({ changes: useless.map(({ id }) => ({ kind: 'delete-snapshot', snapshotId: id })) })
  } catch (error) {
    if (!isDiskFull(error)) throw error
  }
}

/** Renames files that recovery does not use, and reports their new names. */
export const keepAside = (
  store: Store,
  files: readonly string[],
  onWarning: (line: string) => void,
): void => {
  for (const file of files) {
    const kept = setAside(join(store.paths.snapshots, file))
    if (kept !== null) onWarning(`${kept}: this file is no longer used, and kept under this name`)
  }
}
