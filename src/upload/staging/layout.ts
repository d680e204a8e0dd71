import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { LIMITS } from '../../core/limits.ts'
import type { TableInfo } from '../../core/types.ts'
import { readdir } from 'node:fs/promises'

/*
 *     <upload>/                                  an open upload; its mtime is the last activity
 *       upload.json                              what was asked for
 *       part-<part>-<stamp>-<bytes>-<sha256>     a whole part; the highest stamp of a number counts
 *       incoming-<random>                        a part that is being received
 *       commit-<generation>                      a commit under way, see lease.ts
 *     <upload>.json                              a committed upload: what was answered
 *     .<random>                                  is being made or removed: no request sees it
 *
 * Every HTTP worker works on these files and remembers nothing, so each sees what the others do, and a
 * restart loses nothing. Whatever becomes valid does so by one rename. Names are made here: of what clients
 * send, only text that has the form of an id gets into a path.
 */

/** The bounds that staging obeys, by their names in core/limits.ts. */
export type StagingLimits = Record<Extract<keyof typeof LIMITS, `upload${string}`>, number>

/** The directory of staged uploads, and its limits. */
export interface Staging {
  directory: string
  limits: StagingLimits
}

/** The request that began the upload. */
export interface UploadSpecification {
  table: string
  contentType: string
  /** Bytes of all parts together; null: not announced. */
  bytes: number | null
  /** The sha-256 of the whole, like a Content-Digest; null: not announced. */
  digest: string | null
  /** By the names of the query of a PUT, as they were given. */
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
  /** The sha-256, in hexadecimal. */
  sha256: string
}

/** A whole part as a file; `stamp` tells the latest of several. */
export interface PartFile extends StagedPart {
  stamp: number
  name: string
}

/** The answer to the commit. */
export interface CommittedTable {
  created: boolean
  info: TableInfo
}

/** An upload as clients see it. */
export interface UploadState {
  upload: Upload
  /** In ascending order. */
  parts: readonly StagedPart[]
  /** Milliseconds since 1970. */
  expiresAt: number
  /** null: it is open. */
  committed: CommittedTable | null
}

/** The file in an upload's directory that says what was asked for. */
export const UPLOAD_FILE = 'upload.json'

const ID = /^[0-9a-f]{32}$/
const RECORD = /^([0-9a-f]{32})\.json$/
const PART = /^part-(\d{4})-(\d{1,15})-(\d{1,15})-([0-9a-f]{64})$/
const HIDDEN = /^\.[0-9a-f]{32}$/
const INCOMING = /^incoming-[0-9a-f]{32}$/
const COMMIT = /^commit-(\d{1,15})$/

const randomName = (): string => randomBytes(16).toString('hex')

/** A new random id, which cannot be guessed. */
export const newUploadId = randomName

/** Whether `text` has the form of an id: only then it may become part of a path. */
export const isUploadId = (text: string): boolean => ID.test(text)

/** The directory of an open upload. */
export const uploadPath = ({ directory }: Staging, id: string): string => join(directory, id)

/** The record of a committed upload. */
export const recordPath = ({ directory }: Staging, id: string): string => join(directory, `${id}.json`)

/** The upload whose record a file is; undefined: it is none. */
export const parseRecordName = (name: string): string | undefined => RECORD.exec(name)?.[1]

/** A new path that no reader looks at. */
export const hiddenPath = ({ directory }: Staging): string => join(directory, `.${randomName()}`)

/** Whether a name is that of something that is being made or removed. */
export const isHidden = (name: string): boolean => HIDDEN.test(name)

/** A new name for a part that is being received. */
export const newIncomingName = (): string => `incoming-${randomName()}`

/** Whether a name is that of a part that is being received. */
export const isIncoming = (name: string): boolean => INCOMING.test(name)

/**
 * The name of a whole part, which says everything about it: a listing of the directory is the state of the
 * upload.
 */
export const partName = ({ part, stamp, bytes, sha256 }: Omit<PartFile, 'name'>): string =>
  `part-${String(part).padStart(4, '0')}-${stamp}-${bytes}-${sha256}`

/** The part that a file is; undefined: it is none. */
export const parsePartName = (name: string): PartFile | undefined => {
  const found = PART.exec(name)
  if (found === null) return undefined
  const [, part, stamp, bytes, sha256] = found
  return { part: Number(part), stamp: Number(stamp), bytes: Number(bytes), sha256, name }
}

/** The name of a commit under way. Generations are counted from 1. */
export const commitName = (generation: number): string => `commit-${generation}`

/** The generation of a commit; 0: the file is none. */
export const parseCommitName = (name: string): number => Number(COMMIT.exec(name)?.[1] ?? 0)

/**
 * Every file of a whole part in the directory of an upload, also those that a later one took the place of.
 */
export const listPartFiles = async (directory: string): Promise<PartFile[]> =>
  (await readdir(directory)).flatMap((name) => parsePartName(name) ?? [])

/** The latest file of each number, in ascending order of numbers. */
export const currentParts = (files: readonly PartFile[]): PartFile[] => {
  const latest = new Map<number, PartFile>()
  for (const file of files) {
    const other = latest.get(file.part)
    if (other === undefined || isLater(file, other)) latest.set(file.part, file)
  }
  return [...latest.values()].sort((a, b) => a.part - b.part)
}

/** Two that ended at the same time have one stamp: then any order will do that is the same for everybody. */
const isLater = (a: PartFile, b: PartFile): boolean =>
  a.stamp > b.stamp || (a.stamp === b.stamp && a.name > b.name)

/** The bytes of parts together. */
export const countBytes = (parts: readonly { bytes: number }[]): number =>
  parts.reduce((sum, { bytes }) => sum + bytes, 0)
