/**
 * Why a data directory is not served. Nothing here is guessed away: the process says one line and ends with
 * `exitCode`. `remedy` is the last part of that line.
 */
export const REFUSALS = {
  InUse: { exitCode: 1, remedy: 'stop the other process or choose another directory' },
  UnsafeFile: { exitCode: 3, remedy: 'put a plain file or a directory there' },
  MissingFile: { exitCode: 3, remedy: 'put the file back from a backup of the whole directory' },
  UnknownFormat: { exitCode: 3, remedy: 'use the release of gatherd that wrote it, or a later one' },
  DamagedLog: {
    exitCode: 3,
    remedy: 'restore a backup, or start once with --recover=before-damage to go back to before the damage',
  },
  DamagedCatalog: { exitCode: 3, remedy: 'restore a backup of the whole directory' },
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
 * Stored data that cannot be trusted, or cannot be had: a reason not to start. `message` is the whole line
 * for people.
 */
export class StoredDataRefusal extends Error {
  override readonly name = 'StoredDataRefusal'
  readonly code: RefusalCode
  /** The file or directory that it is about. */
  readonly file: string
  /** What is wrong, without file and remedy. */
  readonly detail: string

  constructor(code: RefusalCode, file: string, detail: string, cause?: unknown) {
    super(`${file}: ${detail}; ${REFUSALS[code].remedy}`, cause === undefined ? undefined : { cause })
    this.code = code
    this.file = file
    this.detail = detail
  }

  get exitCode(): number {
    return REFUSALS[this.code].exitCode
  }
}

/** Throws the refusal `code` about `file`. */
export function refuseData(code: RefusalCode, file: string, detail: string, cause?: unknown): never {
  throw new StoredDataRefusal(code, file, detail, cause)
}

/**
 * A write or sync of the durable path failed, for another reason than a full disk. What the disk holds is
 * unknown from here on, and the next sync would report success for nothing: until a restart no update is
 * acknowledged. Lookups go on.
 */
export class StoreFailed extends Error {
  override readonly name = 'StoreFailed'
}
