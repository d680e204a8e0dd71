import { isDeepStrictEqual } from 'node:util'
import type { TableInfo } from '../core/types.ts'
import { RAW } from '../formats/format.ts'
import { callForJson, callService, jsonBody, type Service } from './client.ts'
import type { Progress } from './progress.ts'
import { callRepeatedly, type Wait } from './retry.ts'
import { type Part, readPiece, type SourceFile } from './source-file.ts'

/** A part that gets no answer for this long is sent again. */
const IDLE_MS_MAX = 60_000

/** Parameters of an upload, by the names of the contract. */
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
  /** Parts that are sent at the same time. */
  parallelCount: number
  wait?: Wait
}

const folderOf = (table: string): string => `v1/tables/${encodeURIComponent(table)}/uploads`

/**
 * The upload to send parts to: one that was begun before with the same file, parts and parameters, else a new
 * one. What the service has is asked of it, so any machine with the file can go on.
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
  // Parts of another size would be mixed with ours.
  other.parts.every(({ part, bytes }) => parts[part]?.bytes === bytes)

/** The parts that the service lacks, or has otherwise. */
export const findMissingParts = (info: UploadInfo, parts: readonly Part[]): Part[] => {
  const received = new Map(info.parts.map(({ part, digest }) => [part, digest]))
  return parts.filter(({ part, digest }) => received.get(part) !== digest)
}

/** Sends `missing`, several at a time, and commits. Each is sent until it arrives, or fails for good. */
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
  const sendOn = async (): Promise<void> => {
    for (let part = queue.shift(); part !== undefined && !failed.signal.aborted; part = queue.shift()) {
      const next = part
      await callRepeatedly(
        () => sendPart(service, `${path}/parts/${next.part}`, upload.file, next, progress, failed.signal),
        retries,
      )
    }
  }
  const senders = Array.from({ length: upload.parallelCount }, async () => {
    try {
      await sendOn()
    } catch (error) {
      // The others need not go on; the first reason is the one to tell.
      failed.abort(error)
    }
  })
  await Promise.all(senders)
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
