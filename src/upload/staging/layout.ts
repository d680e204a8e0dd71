/**
 * The files of staged uploads and their names.
 *
 *     <upload>/                                  an open upload; its mtime is the last activity
 *       upload.json                              the request that began it
 *       part-<part>-<stamp>-<bytes>-<sha256>     a complete part; the highest stamp of a number counts
 *       incoming-<random>                        a part that is being received
 *       damaged-part-...                         a part that the disk has changed
 *       commit-<generation>                      a commit in progress, see lease.ts
 *     <upload>.json                              a committed upload, with the answer to its commit
 *     .<random>                                  is being made or removed, and ignored by readers
 *
 * HTTP workers keep no state of uploads in memory but work on these files, so each sees what the others do,
 * and a restart loses nothing. Everything becomes valid by one rename. All names are made here. Text from a
 * client becomes part of a path only if it has the form of an id.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { LIMITS } from '../../core/limits.ts'
import type { TableInfo } from '../../core/types.ts'
import { readdir } from 'node:fs/promises'

/** The limits of staging, by their names in core/limits.ts. */
export type StagingLimits = Record<Extract<keyof typeof LIMITS, `upload${string}`>, number>

/** The directory in which uploads are staged, and the limits that hold there. */
export interface Staging {
  directory: string
  limits: StagingLimits
  /**
   * How long the service has been up, in milliseconds; without it, any time counts as seen by the service.
   */
  upMs?: () => number
}

/** The request that began an upload. */
export interface UploadSpecification {
  table: string
  contentType: string
  /** The bytes of all parts together; null when the client did not announce them. */
  bytes: number | null
  /** The digest of the whole body, as in Content-Digest; null when the client did not announce it. */
  digest: string | null
  /** The parameters by their names in the query of a PUT, as the client gave them. */
  parameters: Readonly<Record<string, unknown>>
}

export interface Upload extends UploadSpecification {
  id: string
  /** Milliseconds since 1970. */
  createdAt: number
}

export interface StagedPart {
  part: number
  bytes: number
  /** The SHA-256, in hexadecimal. */
  sha256: string
}

/** A whole part as a file. Of several with one number, the one with the highest `stamp` counts. */
export interface PartFile extends StagedPart {
  stamp: number
  name: string
}

/** The answer to a commit. */
export interface CommittedTable {
  created: boolean
  info: TableInfo
  /** 0 in records of releases that had no revisions. */
  revision: number
}

/** The state of an upload, as clients see it. */
export interface UploadState {
  upload: Upload
  /** The parts in ascending order. */
  parts: readonly StagedPart[]
  /** Milliseconds since 1970. */
  expiresAt: number
  /** null while the upload is open. */
  committed: CommittedTable | null
}

/** The file in an upload's directory that holds the request that began it. */
export const UPLOAD_FILE = 'upload.json'

const ID = /^[0-9a-f]{32}$/
const RECORD = /^([0-9a-f]{32})\.json$/
const PART = /^part-(\d{4})-(\d{1,15})-(\d{1,15})-([0-9a-f]{64})$/
const HIDDEN = /^\.[0-9a-f]{32}$/
const INCOMING = /^incoming-[0-9a-f]{32}$/
const COMMIT = /^commit-(\d{1,15})$/

const randomName = (): string => randomBytes(16).toString('hex')

/** Makes a new id, which cannot be guessed. */
export const newUploadId = randomName

/** Returns whether `text` has the form of an id. Only then may it become part of a path. */
export const isUploadId = (text: string): boolean => ID.test(text)

/** Returns the directory of an open upload. */
export const uploadPath = ({ directory }: Staging, id: string): string => join(directory, id)

/** Returns the path of the record of a committed upload. */
export const recordPath = ({ directory }: Staging, id: string): string => join(directory, `${id}.json`)

/** Returns the id of the upload whose record a file is; undefined when the file is no record. */
export const parseRecordName = (name: string): string | undefined => RECORD.exec(name)?.[1]

/** Makes a new path that no reader looks at. */
export const hiddenPath = ({ directory }: Staging): string => join(directory, `.${randomName()}`)

/** Returns whether something with this name is being made or removed. */
export const isHidden = (name: string): boolean => HIDDEN.test(name)

/** Makes a name for a part that is being received. */
export const newIncomingName = (): string => `incoming-${randomName()}`

/** Returns whether a name is that of a part that is being received. */
export const isIncoming = (name: string): boolean => INCOMING.test(name)

/**
 * Returns the name of a whole part. It says everything about the part, so a listing of the directory is the
 * state of the upload.
 */
export const partName = ({ part, stamp, bytes, sha256 }: Omit<PartFile, 'name'>): string =>
  `part-${String(part).padStart(4, '0')}-${stamp}-${bytes}-${sha256}`

/** Parses the name of a whole part; undefined when the file is none. */
export const parsePartName = (name: string): PartFile | undefined => {
  const match = PART.exec(name)
  if (match === null) return undefined
  const [, part, stamp, bytes, sha256] = match
  return { part: Number(part), stamp: Number(stamp), bytes: Number(bytes), sha256, name }
}

/** Returns the name of a commit in progress. Generations are counted from 1. */
export const commitName = (generation: number): string => `commit-${generation}`

/** Returns the generation of a commit; 0 when the file is no commit. */
export const parseCommitName = (name: string): number => Number(COMMIT.exec(name)?.[1] ?? 0)

/**
 * Lists every file of a complete part in the directory of an upload, also those that a later one has
 * replaced.
 */
export const listPartFiles = async (directory: string): Promise<PartFile[]> =>
  (await readdir(directory)).flatMap((name) => parsePartName(name) ?? [])

/** Returns the latest file of each number, in ascending order of numbers. */
export const currentParts = (files: readonly PartFile[]): PartFile[] => {
  const latest = new Map<number, PartFile>()
  for (const file of files) {
    const other = latest.get(file.part)
    if (other === undefined || isLater(file, other)) latest.set(file.part, file)
  }
  return [...latest.values()].sort((a, b) => a.part - b.part)
}

/**
 * Tells which of two files with one number counts. Two parts that ended at the same time have the same stamp;
 * any order will then do, as long as every HTTP worker uses the same.
 */
const isLater = (a: PartFile, b: PartFile): boolean =>
  a.stamp > b.stamp || (a.stamp === b.stamp && a.name > b.name)

/** Returns the length of all parts together. */
export const countBytes = (parts: readonly { bytes: number }[]): number =>
  parts.reduce((sum, { bytes }) => sum + bytes, 0)
