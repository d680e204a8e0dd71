/**
 * The reasons for which a data directory is not served. gatherd does not guess around damage: the process
 * prints one line, which ends with `remedy`, and exits with `exitCode`.
 */
export const REFUSALS = {
  InUse: { exitCode: 1, remedy: 'stop the other process or choose another directory' },
  UnsafeFile: { exitCode: 3, remedy: 'put a plain file or a directory there' },
  NotEmpty: { exitCode: 3, remedy: 'choose an empty directory with GATHERD_DATA_DIR' },
  // These are about the disk and the process, not about the data, which may be whole: exit code 1.
  DiskFull: { exitCode: 1, remedy: 'free some space there, then start again' },
  ReadOnly: {
    exitCode: 1,
    remedy: 'mount it for writing, then start again; `gatherd verify` reads it as it is',
  },
  NotOpened: {
    exitCode: 1,
    remedy: 'give this user access to it, and the process memory and descriptors, then start again',
  },
  Unreadable: {
    exitCode: 1,
    remedy: 'nothing was changed: look at the log of the system, mend the disk, then start again',
  },
  MissingFile: { exitCode: 3, remedy: 'put the file back from a backup of the whole directory' },
  UnknownFormat: { exitCode: 3, remedy: 'use the release of gatherd that wrote it, or a later one' },
  DamagedLog: {
    exitCode: 3,
    remedy: 'restore a backup, or start once with --recover=before-damage to go back to before the damage',
  },
  DamagedCatalog: { exitCode: 3, remedy: 'restore a backup of the whole directory' },
  DamagedKey: {
    exitCode: 3,
    remedy: 'restore a backup, or start once with --recover=before-damage to drop the key',
  },
  DamagedRecord: {
    exitCode: 3,
    remedy: 'restore a backup, or start once with --recover=before-damage to go back to before the damage',
  },
  JournalGap: {
    exitCode: 3,
    remedy: 'restore a backup, or start once with --recover=before-damage to go back to before the gap',
  },
  DamagedSnapshot: {
    exitCode: 3,
    remedy: 'restore the file, or start once with --recover=before-damage to go back to an older state',
  },
} as const satisfies Record<string, { exitCode: number; remedy: string }>

export type RefusalCode = keyof typeof REFUSALS

/**
 * Thrown at a start for stored data that cannot be trusted or read. `message` is the whole line for people.
 */
export class StoredDataRefusal extends Error {
  override readonly name = 'StoredDataRefusal'
  readonly code: RefusalCode
  /** The file or directory that the refusal is about. */
  readonly file: string
  /** The part of the message about the damage, without file and remedy. */
  readonly detail: string

  constructor(code: RefusalCode, file: string, detail: string, cause?: unknown) {
    super(describeRefusal({ code, file, detail }), cause === undefined ? undefined : { cause })
    this.code = code
    this.file = file
    this.detail = detail
  }

  get exitCode(): number {
    return REFUSALS[this.code].exitCode
  }
}

/** Whether a file is damaged or missing. One that cannot be read may be whole. */
export const isDamagedFile = (error: unknown): error is StoredDataRefusal =>
  error instanceof StoredDataRefusal && (error.code === 'DamagedSnapshot' || error.code === 'MissingFile')

/** The line for people about a refusal. */
export const describeRefusal = ({
  code,
  file,
  detail,
}: {
  code: RefusalCode
  file: string
  detail: string
}): string => `${file}: ${detail}; ${REFUSALS[code].remedy}`

/** Throws the refusal `code` about `file`. */
export function refuseData(code: RefusalCode, file: string, detail: string, cause?: unknown): never {
  throw new StoredDataRefusal(code, file, detail, cause)
}

/**
 * Thrown after a write or sync has failed for another reason than a full disk. The contents of the disk are
 * unknown from then on, and the next sync would report success for lost pages, so no update is acknowledged
 * until a restart. Lookups continue.
 */
export class StoreFailed extends Error {
  override readonly name = 'StoreFailed'
}
