/** Uploads a file in parts: finds the upload to resume, sends the missing parts in parallel and commits. */
import { isDeepStrictEqual } from 'node:util'
import type { TableInfo } from '../core/types.ts'
import { RAW } from '../formats/format.ts'
import { callForJson, callService, jsonBody, type Service } from './client.ts'
import { CallError } from './errors.ts'
import type { Progress } from './progress.ts'
import { callRepeatedly, type Wait } from './retry.ts'
import { type Part, readPiece, type SourceFile } from './source-file.ts'

/** A part without progress for this long is sent again. */
const IDLE_MS_MAX = 60_000

/** The parameters of an upload, by their names in the API. */
export type UploadParameters = Readonly<Record<string, string | number | boolean>>

/** An upload as the service describes it. */
export interface UploadInfo {
  upload: string
  content_type: string
  bytes: number
  digest: string
  parameters: UploadParameters
  parts: { part: number; bytes: number; digest: string }[]
}

export interface ResumableUpload {
  table: string
  file: SourceFile
  digest: string
  parts: readonly Part[]
  parameters: UploadParameters
  /** The number of parts that are sent at the same time. */
  parallelCount: number
  wait?: Wait
}

const folderOf = (table: string): string => `v1/tables/${encodeURIComponent(table)}/uploads`

/**
 * Finds the upload to send parts to: an open one with the same file, parts and parameters, or else a new one.
 * The state is the service's, so any machine with the file can resume.
 */
export const findUpload = async (service: Service, upload: ResumableUpload): Promise<UploadInfo> => {
  const { uploads } = await callForJson<{ uploads: UploadInfo[] }>(service, {
    method: 'GET',
    path: folderOf(upload.table),
  })
  const found = uploads.find((other) => isSame(other, upload))
  if (found !== undefined) return found
  const { file, digest, parameters } = upload
  const specification = JSON.stringify({
    content_type: file.contentType,
    bytes: file.bytes,
    digest,
    ...parameters,
  })
  return callForJson<UploadInfo>(service, {
    method: 'POST',
    path: folderOf(upload.table),
    ...jsonBody(specification),
  })
}

const isSame = (other: UploadInfo, { file, digest, parameters, parts }: ResumableUpload): boolean =>
  other.digest === digest &&
  other.bytes === file.bytes &&
  other.content_type === file.contentType &&
  isDeepStrictEqual(other.parameters, parameters) &&
  // Parts of another size would not fit together with ours.
  other.parts.every(({ part, bytes }) => parts[part]?.bytes === bytes)

/** Returns the parts that the service lacks, or holds with another digest. */
export const findMissingParts = (info: UploadInfo, parts: readonly Part[]): Part[] => {
  const received = new Map(info.parts.map(({ part, digest }) => [part, digest]))
  return parts.filter(({ part, digest }) => received.get(part) !== digest)
}

/** A sender that stops because fewer parts are to be sent at the same time. */
class OneTooMany extends Error {}

/** Whether a part failed because it arrived too slowly, or nothing of it moved. */
const isTooSlow = (error: unknown): boolean =>
  error instanceof CallError && (error.status === 408 || error.code === 'ETIMEDOUT')

/**
 * Sends the `missing` parts, several at a time and fewer on a slow line, and commits the upload. Each part is
 * repeated until it arrives or fails for good.
 */
export const sendParts = async (
  service: Service,
  upload: ResumableUpload,
  id: string,
  missing: readonly Part[],
  progress: Progress,
): Promise<TableInfo> => {
  const path = `${folderOf(upload.table)}/${encodeURIComponent(id)}`
  const retries = { tell: progress.tell, isRepeatable: true, wait: upload.wait }
  const queue = [...missing]
  const failed = new AbortController()
  // Parts that are sent at the same time share the line, and each of them may be too slow.
  let parallelMax = upload.parallelCount
  const sendSlowly = async (part: Part, sender: number): Promise<void> => {
    try {
      await sendPart(service, `${path}/parts/${part.part}`, upload.file, part, progress, failed.signal)
    } catch (error) {
      if (isTooSlow(error)) parallelMax = Math.max(1, Math.floor(parallelMax / 2))
      if (sender >= parallelMax && isTooSlow(error)) throw new OneTooMany()
      throw error
    }
  }
  const sendOn = async (sender: number): Promise<void> => {
    for (let part = queue.shift(); part !== undefined && !failed.signal.aborted; part = queue.shift()) {
      const next = part
      try {
        await callRepeatedly(() => sendSlowly(next, sender), retries)
      } catch (error) {
        if (error instanceof OneTooMany) {
          queue.unshift(next)
          return
        }
        // The other senders stop, and the first failure is the one to report.
        failed.abort(error)
      }
    }
  }
  await Promise.all(Array.from({ length: upload.parallelCount }, (_, sender) => sendOn(sender)))
  // The last part may have been given back after the first sender had ended.
  await sendOn(0)
  if (failed.signal.aborted) throw failed.signal.reason
  progress.wait('all sent; the table is being made')
  return callRepeatedly(
    () => callForJson<TableInfo>(service, { method: 'POST', path: `${path}/commit` }),
    retries,
  )
}

const sendPart = async (
  service: Service,
  path: string,
  file: SourceFile,
  { at, bytes, digest }: Part,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> => {
  let sentBytes = 0
  const onSent = (count: number): void => {
    sentBytes += count
    progress.add(count)
  }
  const headers = { 'content-type': RAW.mediaType, 'content-digest': digest }
  const body = { chunks: readPiece(file.path, at, bytes), bytes }
  try {
    const answer = await callService(service, {
      method: 'PUT',
      path,
      headers,
      body,
      onSent,
      idleMsMax: IDLE_MS_MAX,
      signal,
    })
    answer.resume()
  } catch (error) {
    progress.add(-sentBytes)
    throw error
  }
}
